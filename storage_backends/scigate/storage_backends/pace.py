"""The least that a storage must give to be waited for: who drips for days holds a stream and is no better than down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from .backend import Buffer, KiB
from .errors import Unreachable

MIN_RATE: Final = KiB
"""Bytes per second. A telephone line gave more; below it a block of 16 MiB would take hours."""
WINDOW: Final = timedelta(minutes=1)
"""No shorter than the time that a single wait for the network may take, so that a pause is not taken for dripping."""

B = TypeVar("B", bound=Buffer)


@dataclass(frozen=True, slots=True)
class Pace:
    """At least ``min_rate`` bytes per second over each ``window``."""

    min_rate: int = MIN_RATE
    window: timedelta = WINDOW
    clock: Callable[[], float] = time.monotonic

    def kept(self, buffers: Iterator[B], who: str, path: str | None = None) -> Iterator[B]:
        """Pass ``buffers`` on as long as they keep this pace, then ``Unreachable``.

        Only the time spent waiting for them counts, not that of who reads. The wait for the first one does not count:
        a storage may have to look for the file on a tape. That it ends is the matter of the backend's own timeout, as
        nothing here could wake the thread up.
        """
        first = next(buffers, None)
        if first is None:
            return
        yield first
        waited, got = 0.0, 0
        while True:
            asked = self.clock()
            buffer = next(buffers, None)
            waited += self.clock() - asked
            if buffer is None:
                return
            got += len(buffer)
            if waited >= self.window.total_seconds():
                self._require(got, waited, who, path)
                waited, got = 0.0, 0
            yield buffer

    def _require(self, got: int, waited: float, who: str, path: str | None) -> None:
        if got < self.min_rate * waited:
            what = f"bytes of {path!r}" if path else "bytes"
            raise Unreachable(
                f"{who} stalled: {got} {what} in {waited:.0f} seconds, "
                f"and {self.min_rate} bytes per second are the least that it is given time for",
                path=path,
            )
