"""The bytes of one upload on the disk: append, make durable, drop."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from awscrt import checksums
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.crash_points import reached

from .staging import failed, sync_folder

READ: Final = 4 * MiB
BUFFERS_MAX: Final = 512
"""In one writev(2), well below IOV_MAX."""


class GrowingFile:
    """A file that grows at its end. ``position`` and ``crc`` (CRC-64/NVME) are those of what was appended so far."""

    def __init__(self, path: Path, position: int, crc: int) -> None:
        self.path, self.position, self.crc = path, position, crc
        try:
            self._descriptor = _opened(path)
        except OSError as error:
            raise failed(error) from None

    def append(self, buffers: Sequence[bytes]) -> None:
        """Write behind what is there. After an error nothing of ``buffers`` counts as appended."""
        try:
            end = self.position
            for first in range(0, len(buffers), BUFFERS_MAX):
                end = _write_all(self._descriptor, buffers[first : first + BUFFERS_MAX], end)
                reached("staging.append:written")
        except OSError as error:
            raise failed(error) from None
        for buffer in buffers:
            self.crc = checksums.crc64nvme(buffer, self.crc)
        self.position = end

    def drop(self, position: int, crc: int) -> None:
        """What was appended behind ``position`` does not count; ``crc`` is that of what is before."""
        self.position, self.crc = position, crc

    def sync(self) -> None:
        """Make durable what is there; another thread may append meanwhile."""
        try:
            os.fdatasync(self._descriptor)
            reached("staging.sync:synced")
        except OSError as error:
            raise failed(error) from None

    def settle(self) -> None:
        """The file is exactly what was appended and still counts, and that is durable."""
        try:
            if os.fstat(self._descriptor).st_size != self.position:
                os.ftruncate(self._descriptor, self.position)
                reached("staging.settle:cut")
        except OSError as error:
            raise failed(error) from None
        self.sync()

    def size(self) -> int:
        """Bytes in the file, whether they count or not."""
        return os.fstat(self._descriptor).st_size

    def catch_up(self) -> None:
        """All that is in the file counts: its CRC is taken by reading what was not known of."""
        for buffer in self.read(self.position):
            self.crc = checksums.crc64nvme(buffer, self.crc)
            self.position += len(buffer)

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from ``offset`` on."""
        try:
            while buffer := os.pread(self._descriptor, READ, offset):
                yield buffer
                offset += len(buffer)
        except OSError as error:
            raise failed(error) from None

    def close(self) -> None:
        os.close(self._descriptor)


def _opened(path: Path) -> int:
    """Its name is durable before its first byte is: else a power cut could take both."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o600)
        reached("staging.open:created")
        sync_folder(path.parent)
        return descriptor


def _write_all(descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
    """Returns the offset behind what was written."""
    rest: list[bytes | memoryview] = [buffer for buffer in buffers if buffer]
    while rest:
        written = os.pwritev(descriptor, rest, offset)
        offset += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest and written:
            rest[0] = memoryview(rest[0])[written:]
    return offset
