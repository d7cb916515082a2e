"""Names that a real S3 keeps byte for byte, but some servers that speak S3 refuse or silently change.

They are kept or refused, never changed: the first time a name of such a kind comes up, the storage is asked to keep
a sample of that kind, and when it does not, names of that kind are ``InvalidName`` from then on.
"""

from __future__ import annotations

import re
import secrets
import threading
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .backend import Entry, Kind
from .errors import AccessDenied, InvalidName, Permanent, StorageError, Unreachable
from .s3_data import DataPlane, exists
from .s3_errors import Refusal
from .s3_probe import CONTENT, PROBE
from .s3_xml import Found

KEY_MAX: Final = 1024  # bytes of UTF-8: "Amazon S3, naming objects"


@dataclass(frozen=True, slots=True)
class Oddity:
    """A kind of odd name, what is put behind a random name to make a sample of it, and what a server that changes
    such names makes of the sample."""

    words: str
    test: Callable[[str], object]
    sample: str
    twin: str = ""


def _is_long(path: str) -> bool:
    return len(path) > 63 and any(len(name.encode()) > 255 for name in path.split("/"))


def _is_decomposed(path: str) -> bool:
    return not path.isascii() and not unicodedata.is_normalized("NFC", path)


ODDITIES: Final = (
    Oddity("an empty folder name ('//')", re.compile("^/|//").search, "/a//b", "/a/b"),
    Oddity("a folder named '.'", re.compile(r"(^|/)\.(/|$)").search, "/a/./b", "/a/b"),
    Oddity("a backslash", re.compile(r"\\").search, "/a\\b", "/a/b"),
    Oddity("a line break", re.compile(r"[\n\r]").search, "/a\nb\rc"),
    Oddity("a control character", re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x1f\x7f]").search, "/a\tb\x01c\x7fd"),
    Oddity("more than 255 bytes between two '/'", _is_long, "/" + 256 * "n"),
    Oddity("letters that are not composed (Unicode NFC)", _is_decomposed, "/e\u0301", "/\u00e9"),
)


def listed(item: Found, path: str) -> Entry | None:
    """What a listing says of a key or common prefix; None for the mark of a folder, which one level up is a common
    prefix as well. An object with bytes under such a name is no file of ours, but never left out."""
    if item.etag is None:
        return Entry(path, Kind.FOLDER)
    if not item.key.endswith("/"):
        return Entry(path, size=item.size, modified=item.modified, version=item.etag or None)
    note = f"this is an object of {item.size} bytes whose name ends in '/', as those of folders do"
    return Entry(path, Kind.OTHER, size=item.size, modified=item.modified, note=note) if item.size else None


class Names:
    """Turns paths into keys. Thread-safe."""

    def __init__(self, data: DataPlane, prefix: str) -> None:
        self._data, self._prefix = data, prefix
        self._kept: dict[Oddity, bool] = {}
        self._asking = threading.Lock()

    def key(self, path: str) -> str:
        """The key of a path. ``InvalidName`` if the storage cannot hold it."""
        try:
            length = len((self._prefix + path).encode())
        except UnicodeEncodeError:
            raise InvalidName("a name in S3 must be valid UTF-8", path=path) from None
        if length > KEY_MAX:
            text = f"a name in S3 has at most {KEY_MAX} bytes, with the storage's prefix; this has {length}"
            raise InvalidName(text, path=path)
        for oddity in ODDITIES:
            if oddity.test(path) and not self._keeps(oddity):
                raise InvalidName(f"this storage does not keep a name with {oddity.words}", path=path)
        return self._prefix + path

    def _keeps(self, oddity: Oddity) -> bool:
        with self._asking:
            if oddity not in self._kept:
                self._kept[oddity] = self._ask(oddity)
            return self._kept[oddity]

    def _ask(self, oddity: Oddity) -> bool:
        start = f"{self._prefix}{PROBE}{secrets.token_hex(8)}"
        try:
            self._data.put(start + oddity.sample, start, CONTENT, {})
            return self._is_kept(start, oddity)
        except AccessDenied:
            return True  # it may only be read: whatever it lists has a name that it keeps
        except Permanent:
            return False
        except Unreachable as error:
            if isinstance(error.__cause__, Refusal):
                return False  # it answered, and failed over this name
            raise
        finally:
            self._remove(start, oddity)

    def _is_kept(self, start: str, oddity: Oddity) -> bool:
        if oddity.twin and exists(self._data, start + oddity.twin, start):
            return False
        listed = self._data.page(start, after="", token=None).found
        return [item.key for item in listed] == [start + oddity.sample]

    def _remove(self, start: str, oddity: Oddity) -> None:
        for end in filter(None, (oddity.sample, oddity.twin)):
            with suppress(StorageError):  # what matters is known by now
                self._data.delete(start + end, start)
