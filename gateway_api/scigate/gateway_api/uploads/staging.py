"""The gateway's own disk, where uploads are until they have reached their storage: a folder with a quota in bytes.

Each upload is a file of its id. What neither a running request nor a record of the database needs is removed by
``sweep``, so a crash at any moment leaves nothing behind for long.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from scigate.storage_backends.crash_points import reached
from scigate.storage_backends.errors import NoSpace, StorageError, TooLarge, Unreachable

from .banker import is_safe
from .senders import Demand, Senders

UNPUBLISHED: Final = ".part"
"""Ends the name of what no record will ever know if we die now."""

MARK: Final = ".unchecked"

ASKED: Final = 500  # names in one question to the database
AGAIN: Final = 5.0  # seconds after which a sender that waits is judged anew though nothing came free
_BLOCK: Final = 512  # bytes; the unit of st_blocks, stat(2)
InUse = Callable[[Sequence[str]], set[str]]


class StagingFull(NoSpace):
    """Other uploads have the room now; some of it comes free when one of them reaches its storage."""

    retry_after = timedelta(seconds=2)
    next_step = "Try again when other uploads have reached their storages, or cancel some that wait."


class Staging:
    """A folder with a quota. Thread-safe; one process owns the folder."""

    make_room: Callable[[], object] = staticmethod(lambda: None)
    """Called when an upload does not fit, to sweep what has reached its storage since the last look."""

    def __init__(self, folder: Path, quota: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.quota = folder, quota
        self._lock, self._clock = threading.Lock(), clock
        self._senders = Senders()
        self._freed = 0  # how often room came free
        self._refused: dict[str, tuple[int, float]] = {}  # name → that number, and until when it need not be judged
        self._shares: dict[str, int] = {}  # name → bytes that it takes, or may take soon
        self._total = 0
        self._held: set[str] = set()  # of requests that are still running

    def prepare(self) -> None:
        """Create the folder, count what is there, and remove what a crash cut off."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.suffix == UNPUBLISHED:
                path.unlink()
            elif path.suffix != MARK:
                self._set(path.name, allocated(path.stat()))

    def path(self, name: str) -> Path:
        """Where the bytes of an upload are."""
        return self.folder / name

    def used(self) -> int:
        """Bytes staged or promised to running uploads."""
        with self._lock:
            return self._total

    def hold(self, name: str) -> None:
        """A request is at it: no sweep touches it until ``release``."""
        with self._lock:
            self._held.add(name)

    def release(self, name: str) -> None:
        """The request is over: what it left is from now on kept only by a record."""
        with self._lock:
            self._held.discard(name)

    def take(self, name: str, count: int, demand: Demand | None = None) -> bool:
        """Room for ``count`` bytes more, unless the quota is reached. Never blocks.

        Who says what it will ``demand`` until it is complete gets room only while that, and all the others, can still
        be completed: see ``banker``. Who does not say it takes all that it needs at once."""
        with self._lock:
            if demand is not None:
                self._senders.ask(name, demand)
            if self._total + count > self.quota or (demand is not None and not self._is_safe(name, count)):
                return False
            self._senders.took(name, count, self._clock())
            self._shares[name] = self._shares.get(name, 0) + count
            self._total += count
            return True

    def give(self, name: str, count: int) -> None:
        """``count`` bytes of its room are not needed any more."""
        with self._lock:
            count = min(count, self._shares.get(name, 0))
            self._shares[name] = self._shares.get(name, 0) - count
            self._total -= count
            self._freed += 1

    def leave(self, name: str, unused: int, demand: Demand) -> None:
        """A request that took room is over: ``unused`` bytes of it come back; the upload will ``demand`` that more."""
        self.give(name, unused)
        with self._lock:
            self._refused.pop(name, None)
            self._senders.leave(name, demand)

    def reserve(self, name: str, size: int) -> None:
        """Room for an upload of ``size`` bytes in all. ``TooLarge`` if it is more than the quota, ``StagingFull`` if
        it does not fit now."""
        if size > self.quota:
            raise TooLarge(
                f"an upload of {size} bytes can never fit: limits.staging_quota allows {self.quota} bytes",
                next_step="Ask an admin to raise limits.staging_quota, or bring the file by another way.",
            )
        more = size - self.share(name)
        if self.take(name, more):
            return
        self.make_room()
        if not self.take(name, more):
            free = max(self.quota - self.used(), 0)
            raise StagingFull(
                f"an upload of {size} bytes does not fit: {free} of {self.quota} bytes for uploads are free now"
            )

    def measure(self, name: str) -> None:
        """Its room is what it takes on the disk now."""
        path = self.path(name)
        self._set(name, allocated(path.stat()) if path.exists() else 0)

    def sweep(self, in_use: InUse) -> int:
        """Remove what no running request holds and, by ``in_use``, no record needs; returns how many."""
        with self._lock:
            candidates = [name for name in self._shares if name not in self._held]
        needed: set[str] = set()
        for first in range(0, len(candidates), ASKED):
            needed |= in_use(candidates[first : first + ASKED])
        for name in (gone := [name for name in candidates if name not in needed]):
            self.remove(name)
        return len(gone)

    def remove(self, name: str) -> None:
        """Remove an upload's bytes, if there are any, and give its room to others."""
        self.path(name).unlink(missing_ok=True)
        reached("staging.remove:unlinked")
        unchecked(self, name).unlink(missing_ok=True)
        self._set(name, 0)
        with self._lock:
            self._shares.pop(name, None)
            self._refused.pop(name, None)
            self._senders.forget(name)

    def share(self, name: str) -> int:
        """Bytes that an upload takes, or may take soon."""
        with self._lock:
            return self._shares.get(name, 0)

    def _set(self, name: str, size: int) -> None:
        with self._lock:
            self._total += size - self._shares.get(name, 0)
            self._shares[name] = size
            self._freed += 1

    def _is_safe(self, name: str, count: int) -> bool:
        """While nothing comes free the answer stays no: many who wait shall not cost more than a few who send."""
        now = self._clock()
        freed, until = self._refused.get(name, (-1, now))
        if freed == self._freed and now < until:
            return False
        if self._senders.needed(self._shares) + count <= self.quota - self._total:
            self._refused.pop(name, None)
            return True  # all of them at once
        if is_safe(self.quota - self._total, self._senders.claims(self._shares, now), name, count):
            self._refused.pop(name, None)
            return True
        self._refused[name] = (self._freed, now + AGAIN)
        return False


def unchecked(staging: Staging, name: str) -> Path:
    """The mark of an upload whose bytes behind the recorded offset may be wrong: their checksum has not been compared,
    or the disk has failed. It need not be durable: after a power cut no such bytes are kept anyway."""
    return staging.path(f"{name}{MARK}")


def mark_unchecked(staging: Staging, name: str) -> None:
    """Set that mark."""
    try:
        unchecked(staging, name).touch(0o600)
        reached("staging.mark:set")
    except OSError as error:
        raise failed(error) from None


def allocated(status: os.stat_result) -> int:
    """The bytes of a file that take room on the disk: holes do not count."""
    return min(status.st_size, status.st_blocks * _BLOCK)


def failed(error: OSError) -> StorageError:
    """What an error of our own disk means for an upload."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace("the gateway's own disk is full", next_step="Tell an admin: the disk of the uploads is full.")
    return Unreachable(f"the gateway cannot write to its own disk: {error.strerror}", next_step="Tell an admin.")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
