"""Under which name a file goes into an archive, so that unpacking it can neither escape nor overwrite. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .spool import Spool

MANIFEST: Final = "SCIGATE-MANIFEST.json"
_BACKSLASH: Final = ord("\\")  # Windows takes it for a slash


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its name there, how many bytes, when it was changed."""

    name: bytes
    size: int
    modified: datetime | None


class Unpackable(ValueError):
    """There is no name under which this file could be unpacked; the text says why."""


def top_folder(storage: str, folder: str) -> str:
    """The one folder that everything in an archive is in: the folder's own name; of a root, the storage's."""
    name = folder.rstrip("/").rpartition("/")[2] or storage
    return f"{name}.d" if name == MANIFEST else name


def exact_name(path: str) -> bytes:
    """The name byte for byte, as tar keeps it."""
    return path.encode("utf-8", "surrogateescape")


def readable_name(path: str) -> bytes:
    """The name as UTF-8, as zip needs it: bytes that are not, and backslashes, percent-encoded."""
    try:
        plain = path.encode("utf-8")
    except UnicodeEncodeError:
        plain = b"".join(_percent(c) if "\udc80" <= c <= "\udcff" else c.encode() for c in path)
    return plain.replace(b"\\", b"%%%02X" % _BACKSLASH)


class Names:
    """Gives each file its place, and remembers (on disk) what is taken."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._folder = b""

    def take(self, name: bytes) -> str | None:
        """Reserve ``name``. ``Unpackable`` if it cannot be; the text returned is a warning that goes with it."""
        segments = name.split(b"/")
        if any(segment in (b"", b".", b"..") for segment in segments) or b"\0" in name:
            raise Unpackable("a name with an empty part, '.' or '..' would be unpacked elsewhere")
        self._take_folders(segments[:-1])
        if not self._spool.take(name, is_folder=False):
            raise Unpackable("another file or a folder has the same name in this archive")
        if self._spool.looks_new(name):
            return None
        return "differs from another name only in case or Unicode form: some systems keep only one of both"

    def _take_folders(self, segments: list[bytes]) -> None:
        folder = b"/".join(segments)
        if folder == self._folder:
            return
        for depth in range(1, len(segments) + 1):
            if not self._spool.take(b"/".join(segments[:depth]), is_folder=True):
                raise Unpackable("it is below a name that is a file in this archive")
        self._folder = folder


def _percent(character: str) -> bytes:
    return b"%%%02X" % (ord(character) - 0xDC00)
