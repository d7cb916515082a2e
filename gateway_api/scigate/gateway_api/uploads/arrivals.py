"""How many bytes of each upload are here, told by who writes them to who waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(slots=True)
class _Arrived:
    count: int = 0
    complete: bool = False
    ended: bool = False


class Arrivals:
    """The uploads of this gateway that bytes have come for since it started. Thread-safe, in memory only.

    What has been told is never taken back: a writer that may still drop bytes (a checksum of theirs is to be compared)
    tells of them afterwards.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrived: dict[str, _Arrived] = {}

    def grown(self, upload: str, count: int, complete: bool = False) -> None:
        """The first ``count`` bytes can be read from the upload's file. ``complete``: all of them, and they are
        accepted: durable, recorded, and what the sender promised."""
        with self._changed:
            arrived = self._arrived.setdefault(upload, _Arrived())
            arrived.count = max(arrived.count, count)
            arrived.complete |= complete
            self._changed.notify_all()

    def ended(self, upload: str) -> None:
        """Nothing more comes, and nothing is kept: who waits is woken."""
        with self._changed:
            if arrived := self._arrived.pop(upload, None):
                arrived.ended = True
            self._changed.notify_all()

    def known(self, upload: str) -> int:
        """Bytes that have been told of; 0 after a restart, until more come."""
        with self._changed:
            found = self._arrived.get(upload)
            return 0 if found is None else found.count

    def wait(self, upload: str, until: int, patience: timedelta) -> int:
        """Wait until the first ``until`` bytes are here; returns how many are, fewer when nothing at all has come for
        ``patience``, or when the upload has ended."""
        return self._wait(upload, lambda arrived: arrived.count >= until, patience).count

    def wait_complete(self, upload: str, patience: timedelta) -> bool:
        """Wait until the upload is complete; False when nothing has happened for ``patience``."""
        return self._wait(upload, lambda arrived: arrived.complete, patience).complete

    def _wait(self, upload: str, enough: Callable[[_Arrived], bool], patience: timedelta) -> _Arrived:
        """Patience begins anew with every byte: who is slow is waited for, who sleeps is not."""
        with self._changed:
            arrived = self._arrived.setdefault(upload, _Arrived())
            seen, deadline = arrived.count, time.monotonic() + patience.total_seconds()
            while not enough(arrived) and not arrived.ended and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                if arrived.count > seen:
                    seen, deadline = arrived.count, time.monotonic() + patience.total_seconds()
            return arrived
