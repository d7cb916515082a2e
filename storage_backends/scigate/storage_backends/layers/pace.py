"""A read that drips is a read that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from ..backend import Backend, Buffer, Extras
from ..pace import WINDOW, Pace
from .layer import Layer


class PaceLayer(Layer):
    """Ends a read that gives fewer than ``min_rate`` bytes per second over ``window`` with ``Unreachable``."""

    def __init__(
        self,
        inner: Backend,
        min_rate: int,
        window: timedelta = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._pace = Pace(min_rate, window, clock)

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        return self._pace.kept(start(), "the storage", path)
