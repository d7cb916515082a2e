"""Names that a real S3 keeps byte for byte, but some servers that speak S3 refuse or silently change.

They are kept or refused, never changed: the first time a name of such a kind comes up, the storage is asked to keep
a sample of that kind, and when it does not, names of that kind are ``InvalidName`` from then on.
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from .errors import AccessDenied, InvalidName, Permanent
from .s3_data import DataPlane

PROBE: Final = ".scigate-probe-"
KEY_MAX: Final = 1024  # bytes of UTF-8: "Amazon S3, naming objects"


@dataclass(frozen=True, slots=True)
class Oddity:
    """A kind of odd name, and what is put behind a random name to make a sample of it."""

    words: str
    pattern: re.Pattern[str]
    sample: str


ODDITIES: Final = (
    Oddity("an empty folder name ('//')", re.compile(r"^/|//"), "/a//b"),
    Oddity("a folder named '.'", re.compile(r"(^|/)\.(/|$)"), "/a/./b"),
    Oddity("a backslash", re.compile(r"\\"), "/a\\b"),
    Oddity("a line break", re.compile(r"[\n\r]"), "/a\nb\rc"),
    Oddity("a control character", re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x1f\x7f]"), "/a\tb\x01c\x7fd"),
)


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
            if oddity.pattern.search(path) and not self._keeps(oddity):
                raise InvalidName(f"this storage does not keep a name with {oddity.words}", path=path)
        return self._prefix + path

    def _keeps(self, oddity: Oddity) -> bool:
        with self._asking:
            if oddity not in self._kept:
                self._kept[oddity] = self._ask(oddity)
            return self._kept[oddity]

    def _ask(self, oddity: Oddity) -> bool:
        start = f"{self._prefix}{PROBE}{secrets.token_hex(8)}"
        key = start + oddity.sample
        try:
            self._data.put(key, key, b"scigate", {})
            return [item.key for item in self._data.page(start, after="", token=None).found] == [key]
        except AccessDenied:
            return True  # it may only be read: whatever it lists has a name that it keeps
        except Permanent:
            return False
        finally:
            self._remove(start)

    def _remove(self, start: str) -> None:
        try:
            for item in self._data.page(start, after="", token=None).found:
                self._data.delete(item.key, item.key)
        except Permanent:
            return
