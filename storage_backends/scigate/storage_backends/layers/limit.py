"""At most so many requests at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..backend import Backend, Buffer, Entry, Extras
from .layer import Layer

T = TypeVar("T")


class LimitLayer(Layer):
    """Lets ``concurrency`` threads use a storage at once; others wait.

    A read holds its slot until its iterator ends or is closed, a scan only while it fetches. A thread that holds a
    slot takes no second one: it may read from a storage while it writes to the same one without waiting for itself.
    """

    def __init__(self, inner: Backend, concurrency: int) -> None:
        super().__init__(inner)
        self._slots = Slots(concurrency)

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        with self._slots.taken():
            return run()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        with self._slots.taken():
            yield from start()

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        entries = start()
        while (entry := self.call("scan", prefix, lambda: next(entries, None))) is not None:
            yield entry


class Slots:
    """A semaphore that counts threads, not calls."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._lock = threading.Lock()
        self._mine = threading.local()

    def taken(self) -> _Use:
        """Hold this thread's slot. It is given back with the last of its uses, in whatever order and thread."""
        uses: list[None] | None = getattr(self._mine, "uses", None)
        if uses is None:
            uses = self._mine.uses = []
        return _Use(self, uses)

    def take(self, uses: list[None]) -> None:
        """One more use by the thread that these are of; waits for a slot if it has none."""
        with self._lock:
            if uses:
                uses.append(None)
                return
        self._free.acquire()
        with self._lock:
            uses.append(None)

    def give_back(self, uses: list[None]) -> None:
        """One use has ended."""
        with self._lock:
            uses.pop()
            if not uses:
                self._free.release()


class _Use:
    """A use while it lasts. A class of its own, because a generator cost more than what it guards in small calls."""

    __slots__ = ("_slots", "_uses")

    def __init__(self, slots: Slots, uses: list[None]) -> None:
        self._slots, self._uses = slots, uses

    def __enter__(self) -> None:
        self._slots.take(self._uses)

    def __exit__(self, *_: object) -> None:
        self._slots.give_back(self._uses)
