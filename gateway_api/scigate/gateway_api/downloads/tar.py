"""The bytes of a tar archive around the files in it: POSIX pax, names byte-exact. No I/O."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from .members import Member, exact_name
from .spool import Spool

RECORD: Final = 20 * tarfile.BLOCKSIZE
EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Tar:
    """One archive; ``offset`` is how much of it there is."""

    media_type = "application/x-tar"
    suffix = ".tar"
    name = staticmethod(exact_name)

    def __init__(self, spool: Spool) -> None:
        self.offset = 0

    def begin(self, member: Member) -> bytes:
        """What is before the bytes of a file. A name that is not UTF-8 is said to be binary (pax, hdrcharset)."""
        info = tarfile.TarInfo(member.name.decode("utf-8", "surrogateescape"))
        info.size, info.mode = member.size, 0o644
        info.mtime = int((member.modified or EPOCH).timestamp())  # a fraction would cost a KiB for each file
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        self.offset += len(header) + member.size
        return header

    def end(self, crc32: int) -> bytes:
        """What is behind them."""
        return self._padding(tarfile.BLOCKSIZE)

    def finish(self) -> Iterator[bytes]:
        """The end of the archive."""
        self.offset += 2 * tarfile.BLOCKSIZE
        yield bytes(2 * tarfile.BLOCKSIZE) + self._padding(RECORD)

    def _padding(self, unit: int) -> bytes:
        padding = bytes(-self.offset % unit)
        self.offset += len(padding)
        return padding
