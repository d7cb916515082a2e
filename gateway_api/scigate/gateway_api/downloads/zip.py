"""The bytes of a zip archive around the files in it (PKWARE APPNOTE 6.3.10). No I/O but the spool.

Stored, not compressed; sizes and CRCs behind the files (data descriptors), so that nothing is read twice; zip64 where
sizes, offsets or the number of files need it; names in UTF-8. The standard library's writer keeps every entry in memory
until the end; here the central directory waits on disk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from .members import Member, readable_name
from .spool import Spool

FULL: Final = 0xFFFFFFFF  # "look into the zip64 field"
MANY: Final = 0xFFFF
FLAGS: Final = 0x0808  # a data descriptor follows; the name is UTF-8 (4.4.4)
PLAIN, ZIP64 = 20, 45  # version needed to extract (4.4.3)
UNIX: Final = 3 << 8
MODE: Final = 0o100644 << 16
DIRECTORY: Final = "zip directory"
_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


class Zip:
    """One archive; ``offset`` is how much of it there is."""

    media_type = "application/zip"
    suffix = ".zip"
    name = staticmethod(readable_name)

    def __init__(self, spool: Spool) -> None:
        self.offset = 0
        self._spool = spool
        self._current: tuple[Member, int] | None = None

    def begin(self, member: Member) -> bytes:
        """The local header (4.3.7): sizes and CRC are zero, they come behind the file."""
        large = member.size >= FULL
        size = FULL if large else 0
        extra = _unix_time(member.modified) + (struct.pack("<HHQQ", 1, 16, 0, 0) if large else b"")
        header = struct.pack(
            "<IHHHIIIIHH", 0x04034B50, ZIP64 if large else PLAIN, FLAGS, 0, _dos_time(member.modified), 0, size, size,
            len(member.name), len(extra),
        )  # fmt: skip
        self._current = (member, self.offset)
        self.offset += len(header) + len(member.name) + len(extra) + member.size
        return header + member.name + extra

    def end(self, crc32: int) -> bytes:
        """The data descriptor (4.3.9); what the directory will say of the file is put aside."""
        assert self._current is not None
        member, start = self._current
        descriptor = struct.pack(
            "<IIQQ" if member.size >= FULL else "<IIII", 0x08074B50, crc32, member.size, member.size
        )
        self._spool.add(DIRECTORY, _directory_entry(member, crc32, start))
        self.offset += len(descriptor)
        return descriptor

    def finish(self) -> Iterator[bytes]:
        """The central directory and its end (4.3.12, 4.3.14 to 4.3.16)."""
        start = self.offset
        count, size = self._spool.measure(DIRECTORY)
        yield from self._spool.lines(DIRECTORY)
        if count >= MANY or size >= FULL or start >= FULL:
            yield struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, start)
            yield struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
        few = min(count, MANY)
        yield struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, few, few, min(size, FULL), min(start, FULL), 0)


def _directory_entry(member: Member, crc32: int, offset: int) -> bytes:
    """The central file header (4.3.12)."""
    sizes = (member.size, member.size) if member.size >= FULL else ()
    large = (*sizes, *((offset,) if offset >= FULL else ()))
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    extra += _unix_time(member.modified)
    size, version = min(member.size, FULL), ZIP64 if large else PLAIN
    header = struct.pack(
        "<IHHHHIIIIHHHHHII", 0x02014B50, UNIX | version, version, FLAGS, 0, _dos_time(member.modified), crc32,
        size, size, len(member.name), len(extra), 0, 0, 0, MODE, min(offset, FULL),
    )  # fmt: skip
    return header + member.name + extra


def _dos_time(moment: datetime | None) -> int:
    """Date and time in units of two seconds (4.4.6), from 1980 on, here in UTC."""
    when = min(max(moment.astimezone(UTC), _EARLIEST), _LATEST) if moment else _EARLIEST
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    return date << 16 | when.hour << 11 | when.minute << 5 | when.second // 2


def _unix_time(moment: datetime | None) -> bytes:
    """The extended timestamp of Info-ZIP: the exact second, in UTC; it has 32 bits."""
    seconds = int(moment.timestamp()) if moment else None
    return struct.pack("<HHBi", 0x5455, 5, 1, seconds) if seconds is not None and abs(seconds) < 1 << 31 else b""
