"""A file that is sent in one request (``PUT``): nothing of it stays unless it comes whole."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable

from scigate.storage_backends.backend import Buffer
from scigate.storage_backends.crash_points import reached
from scigate.storage_backends.digests import start
from scigate.storage_backends.errors import DigestMismatch, StorageError, Truncated

from .staging import UNPUBLISHED, Staging, failed, sync_folder


def begin(staging: Staging, size: int | None, digests: dict[str, str], modified: float | None = None) -> PutUpload:
    """Room for an upload of ``size`` bytes (None: it is not said). ``TooLarge`` if it is more than the quota,
    ``StagingFull`` if it does not fit now."""
    name = secrets.token_hex(16)
    staging.hold(name)
    try:
        staging.reserve(name, size or 0)
        return PutUpload(staging, name, size, digests, modified)
    except (OSError, StorageError) as error:
        staging.remove(name)
        staging.release(name)
        raise failed(error) if isinstance(error, OSError) else error from None


class PutUpload:
    """One upload. ``close`` may come from another thread at any moment, the other methods one after the other."""

    def __init__(
        self, staging: Staging, name: str, size: int | None, digests: dict[str, str], modified: float | None
    ) -> None:
        self._staging, self.name, self._size, self._promised = staging, name, size, digests
        self.modified = modified  # of the sender's file, in seconds; what "newer" compares
        self._part = staging.path(f"{name}{UNPUBLISHED}")
        self._running = start({*digests, "crc64nvme"})
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._published = False
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

    def close(self) -> None:
        """End the request. Before ``finish`` this discards the upload; after it, only a record keeps it."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
            if not self._published:
                self._part.unlink(missing_ok=True)
                self._staging.remove(self.name)
        self._staging.release(self.name)

    def _publish(self) -> None:
        self._check_open()
        try:
            if self.modified is not None:
                os.utime(self._file, (self.modified, self.modified))
            os.fsync(self._file)
            reached("staging.put:synced")
            self._part.rename(self._staging.path(self.name))
            self._published = True
            reached("staging.put:renamed")
            sync_folder(self._staging.folder)
        except OSError as error:
            raise failed(error) from None

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
            raise failed(error) from None
