"""A read that drips is a read that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from ..backend import Backend, Buffer, Extras
from ..errors import Unreachable
from .layer import Layer

WINDOW: Final = timedelta(minutes=1)


class PaceLayer(Layer):
    """Ends a read that gives fewer than ``min_rate`` bytes per second over ``window`` with ``Unreachable``.

    Only the time spent waiting for the storage counts, not that of who reads. A storage that gives nothing at all
    is the matter of the backend's own socket timeout: a layer cannot wake a thread up.
    """

    def __init__(
        self,
        inner: Backend,
        min_rate: int,
        window: timedelta = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._min_rate, self._window, self._clock = min_rate, window.total_seconds(), clock

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        buffers, waited, got = start(), 0.0, 0
        while True:
            asked = self._clock()
            buffer = next(buffers, None)
            waited += self._clock() - asked
            if buffer is None:
                return
            got += len(buffer)
            if waited >= self._window:
                self._require_pace(path, got, waited)
                waited, got = 0.0, 0
            yield buffer

    def _require_pace(self, path: str, got: int, waited: float) -> None:
        if got < self._min_rate * waited:
            raise Unreachable(
                f"the storage stalled: {got} bytes of {path!r} in {waited:.0f} seconds, "
                f"and {self._min_rate} bytes per second are the least that it is given time for",
                path=path,
            )
