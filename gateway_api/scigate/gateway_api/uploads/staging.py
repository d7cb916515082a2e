"""Uploads on the gateway's own disk, from the first byte until their transfer is done.

``<id>.part`` grows while a client sends; ``<id>`` is whole and durable and the source of a transfer. What neither a
request nor a transfer holds is removed by ``sweep``, so a crash at any moment leaves nothing behind for long.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import Buffer
from scigate.storage_backends.digests import start
from scigate.storage_backends.errors import DigestMismatch, NoSpace, StorageError, TooLarge, Truncated, Unreachable

PARTIAL: Final = ".part"
ASKED: Final = 500  # names in one question to the database
InUse = Callable[[list[str]], set[str]]


class StagingFull(NoSpace):
    """Other uploads have the room now; some of it comes free when one of them reaches its storage."""

    retry_after = timedelta(seconds=2)
    next_step = "Try again when other uploads have reached their storages, or cancel some that wait."


class Staging:
    """A folder with a quota in bytes. Thread-safe; one process owns the folder."""

    make_room: Callable[[], object] = staticmethod(lambda: None)
    """Called when an upload does not fit, to sweep what has reached its storage since the last look."""

    def __init__(self, folder: Path, quota: int) -> None:
        self.folder, self.quota = folder, quota
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}  # id → bytes reserved by a request that is still running
        self._kept: dict[str, int] = {}  # id → bytes of what waits for its transfer

    def prepare(self) -> None:
        """Create the folder, count what is there, and remove what a crash cut off."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.suffix == PARTIAL:
                path.unlink()
            else:
                self._kept[path.name] = path.stat().st_size

    def begin(self, size: int | None, digests: dict[str, str], modified: float | None = None) -> StagedUpload:
        """Room for an upload of ``size`` bytes (None: it is not said). ``TooLarge`` if it is more than the quota,
        ``StagingFull`` if it does not fit now."""
        name = secrets.token_hex(16)
        self.reserve(name, size or 0)
        try:
            return StagedUpload(self, name, size, digests, modified)
        except OSError as error:
            self.release(name)
            raise _failed(error) from None

    def used(self) -> int:
        """Bytes staged or promised to running uploads."""
        with self._lock:
            return sum(self._held.values()) + sum(self._kept.values())

    def reserve(self, name: str, size: int) -> None:
        """Promise ``size`` bytes to ``name``; errors as in ``begin``."""
        if size > self.quota:
            raise TooLarge(
                f"an upload of {size} bytes can never fit: limits.staging_quota allows {self.quota} bytes",
                next_step="Ask an admin to raise limits.staging_quota, or bring the file by another way.",
            )
        if self._reserved(name, size):
            return
        self.make_room()
        if not self._reserved(name, size):
            free = max(self.quota - self.used(), 0)
            raise StagingFull(
                f"an upload of {size} bytes does not fit: {free} of {self.quota} bytes for uploads are free now"
            )

    def _reserved(self, name: str, size: int) -> bool:
        with self._lock:
            others = sum(self._held.values()) + sum(self._kept.values()) - self._held.get(name, 0)
            if others + size > self.quota:
                return False
            self._held[name] = size
            return True

    def release(self, name: str) -> None:
        """The request is over: what it left is from now on kept only by a transfer."""
        with self._lock:
            self._held.pop(name, None)

    def keep(self, name: str, size: int) -> None:
        with self._lock:
            self._kept[name] = size
            self._held[name] = 0  # still held until ``release``, so that no sweep comes between

    def sweep(self, in_use: InUse) -> int:
        """Remove what no running request holds and, by ``in_use``, no transfer needs; returns how many."""
        with self._lock:
            candidates = [name for name in self._kept if name not in self._held]
        needed: set[str] = set()
        for first in range(0, len(candidates), ASKED):
            needed |= in_use(candidates[first : first + ASKED])
        return sum(self._remove(name) for name in candidates if name not in needed)

    def _remove(self, name: str) -> int:
        (self.folder / name).unlink(missing_ok=True)
        with self._lock:
            self._kept.pop(name, None)
        return 1


class StagedUpload:
    """One upload. ``close`` may come from another thread at any moment, the other methods one after the other."""

    def __init__(
        self, staging: Staging, name: str, size: int | None, digests: dict[str, str], modified: float | None
    ) -> None:
        self._staging, self.name, self._size, self._promised = staging, name, size, digests
        self._modified = modified  # of the sender's file, in seconds; what "newer" compares
        self._part = staging.folder / f"{name}{PARTIAL}"
        self._running = start({*digests, "crc64nvme"})
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self.length = 0

    @property
    def digests(self) -> dict[str, str]:
        return {name: digest.hexdigest() for name, digest in self._running.items()}

    def write(self, buffers: Iterable[Buffer]) -> None:
        """Append; ``StagingFull``, ``TooLarge`` or ``Truncated`` if it is more than may come."""
        for buffer in buffers:
            self.length += len(buffer)
            self._check_length()
            with self._lock:
                self._write(buffer)
            for digest in self._running.values():
                digest.update(buffer)

    def finish(self) -> None:
        """Make it durable under its name. ``DigestMismatch`` or ``Truncated`` if it is not what was promised."""
        if self._size is not None and self.length != self._size:
            raise Truncated(f"{self.length} of {self._size} bytes arrived; nothing was stored")
        self._check_digests()
        with self._lock:
            self._publish()
        self._staging.keep(self.name, self.length)

    def close(self) -> None:
        """End the request. Before ``finish`` this discards the upload, after it the transfer keeps it."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
        self._part.unlink(missing_ok=True)
        self._staging.release(self.name)

    def _publish(self) -> None:
        self._check_open()
        try:
            if self._modified is not None:
                os.utime(self._file, (self._modified, self._modified))
            os.fsync(self._file)
            self._part.rename(self._staging.folder / self.name)
            _sync_folder(self._staging.folder)
        except OSError as error:
            raise _failed(error) from None

    def _check_open(self) -> None:
        if self._file < 0:
            raise Truncated("the upload was broken off")

    def _check_length(self) -> None:
        if self._size is None:
            self._staging.reserve(self.name, self.length)
        elif self.length > self._size:
            raise Truncated(f"more than the {self._size} bytes announced arrived; nothing was stored")

    def _check_digests(self) -> None:
        for name, value in self.digests.items():
            if self._promised.get(name, value) != value:
                raise DigestMismatch(
                    f"the {name} of what arrived is {value}, not {self._promised[name]}; nothing was stored",
                    next_step="Send the file again; if it happens twice, check the digest.",
                )

    def _write(self, buffer: Buffer) -> None:
        self._check_open()
        rest = memoryview(buffer)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise _failed(error) from None


def _failed(error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace("the gateway's own disk is full", next_step="Tell an admin: the disk of the uploads is full.")
    return Unreachable(f"the gateway cannot write to its own disk: {error.strerror}", next_step="Tell an admin.")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
