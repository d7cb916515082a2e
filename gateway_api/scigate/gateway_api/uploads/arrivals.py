"""How many bytes of each upload are here, told by who writes them to who waits for them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Final

from .pressure import Pressure

REFUSED: Final = 30.0  # seconds that a sender who is told to come again may be away and still counts as waiting


class Hindrance(StrEnum):
    """Why an upload, or what moves it on, does not get on though its sender sends."""

    ROOM = "staging-full"
    RIGHT_OF_WAY = "right-of-way"


class _Arrived:
    """One upload. ``wanted``: the smallest count that somebody waits for."""

    def __init__(self, lock: threading.Lock) -> None:
        self.count, self.complete, self.wanted = 0, False, math.inf
        self.pressure = Pressure()
        self.refused = -math.inf  # when there was no room for more of it the last time
        self.changed = threading.Condition(lock)


class Arrivals:
    """The uploads of this gateway that bytes have come for since it started. Thread-safe, in memory only.

    What has been told is never taken back: a writer that may still drop bytes (a checksum of theirs is to be compared)
    tells of them afterwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._arrived: dict[str, _Arrived] = {}
        self._news: set[str] = set()

    def grown(self, upload: str, count: int, complete: bool = False) -> None:
        """The first ``count`` bytes can be read from the upload's file. ``complete``: all of them, and they are
        accepted: durable, recorded, and what the sender promised."""
        with self._lock:
            arrived = self._of(upload)
            arrived.refused = -math.inf if count > arrived.count else arrived.refused
            arrived.count = max(arrived.count, count)
            arrived.complete |= complete
            self._news.add(upload)
            if arrived.complete or arrived.count >= arrived.wanted:
                arrived.wanted = math.inf
                arrived.changed.notify_all()

    def ended(self, upload: str) -> None:
        """Nothing more comes, and nothing is kept: who waits is woken."""
        with self._lock:
            self._news.discard(upload)
            if arrived := self._arrived.pop(upload, None):
                arrived.changed.notify_all()

    def known(self, upload: str) -> int:
        """Bytes that have been told of; 0 after a restart, until more come."""
        with self._lock:
            found = self._arrived.get(upload)
            return 0 if found is None else found.count

    def looked(self, upload: str, held_up: bool) -> None:
        """Somebody has looked whether the sender has more to give than we take; see ``Pressure``."""
        with self._lock:
            self._of(upload).pressure.look(held_up, self._clock())

    def lacks_room(self, upload: str) -> None:
        """Its sender could go on, but the room for uploads is full."""
        with self._lock:
            self._of(upload).refused = self._clock()

    def hindrance(self, upload: str) -> Hindrance | None:
        """What holds an upload up that is not its sender."""
        with self._lock:
            found = self._arrived.get(upload)
            if found is None or found.complete:
                return None
            if self._clock() - found.refused < REFUSED:
                return Hindrance.ROOM
            return Hindrance.RIGHT_OF_WAY if found.pressure.is_pressing(self._clock()) else None

    def is_pressing(self, upload: str) -> bool:
        """Whether its sender waits for us, and not we for its sender; never when the upload is complete."""
        with self._lock:
            found = self._arrived.get(upload)
            return found is not None and not found.complete and found.pressure.is_pressing(self._clock())

    def wait(self, upload: str, until: int, timeout: timedelta) -> int:
        """Wait until the first ``until`` bytes are here, at most for ``timeout``; returns how many are."""
        return self._wait(upload, until, lambda arrived: arrived.count >= until, timeout).count

    def wait_complete(self, upload: str, timeout: timedelta) -> bool:
        """Wait until the upload is complete, at most for ``timeout``; whether it is."""
        return self._wait(upload, math.inf, lambda arrived: arrived.complete, timeout).complete

    def news(self) -> set[str]:
        """The uploads that have grown since this was last asked, and those of ``look_again``."""
        with self._lock:
            news, self._news = self._news, set()
            return news

    def look_again(self, upload: str) -> None:
        """What there is of this upload shall be told as news once more."""
        with self._lock:
            if upload in self._arrived:
                self._news.add(upload)

    def _of(self, upload: str) -> _Arrived:
        if upload not in self._arrived:
            self._arrived[upload] = _Arrived(self._lock)
        return self._arrived[upload]

    def _wait(self, upload: str, wanted: float, enough: Callable[[_Arrived], bool], timeout: timedelta) -> _Arrived:
        deadline = time.monotonic() + timeout.total_seconds()
        with self._lock:
            arrived = self._of(upload)
            while not enough(arrived) and self._arrived.get(upload) is arrived:
                if (left := deadline - time.monotonic()) <= 0:
                    break
                arrived.wanted = min(arrived.wanted, wanted)
                arrived.changed.wait(left)
            return arrived
