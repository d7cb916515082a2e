"""The last entry of an archive: what is in it with digests, what is not and why, and that it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scigate.storage_backends.backend import Entry

from .spool import Spool

DIGESTS: Final = ("sha-256", "crc64nvme")
FILES, SKIPPED = "files", "skipped"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an archive is from, and behind which file it begins."""

    storage: str
    folder: str
    after: str | None


class Manifest:
    """Written line by line to disk while the archive goes out."""

    def __init__(self, spool: Spool, origin: Origin) -> None:
        self._spool, self._origin = spool, origin
        self._began = datetime.now(UTC)
        self._bytes = 0

    def add(self, entry: Entry, name: bytes, digests: Mapping[str, str], note: str | None) -> None:
        """A file that is in the archive as ``name``."""
        self._bytes += entry.size
        shown = {"path": entry.path, "name": name.decode("utf-8", "surrogateescape"), "size": entry.size}
        modified = entry.modified.astimezone(UTC).isoformat() if entry.modified else None
        known = {"modified": modified, "version": entry.version, **digests}
        self._spool.add(FILES, _json({**shown, **known} | ({"note": note} if note else {})))

    def skip(self, path: str, code: str, reason: str) -> None:
        """Something that is not in the archive."""
        self._spool.add(SKIPPED, _json({"path": path, "code": code, "reason": reason}))

    def text(self) -> tuple[int, Iterator[bytes]]:
        """How many bytes the manifest has, and the manifest. After the last file."""
        about = {"storage": self._origin.storage, "folder": self._origin.folder, "after": self._origin.after}
        times = {"began": self._began.isoformat(), "ended": datetime.now(UTC).isoformat()}
        (files, file_bytes), (skipped, skipped_bytes) = self._spool.measure(FILES), self._spool.measure(SKIPPED)
        head = _json({"manifest": 1, **about, **times})[:-1] + b',\n"files": [\n'
        between = b'\n],\n"skipped": [\n'
        tail = b"\n],\n" + _json({"count": files, "bytes": self._bytes, "complete": True})[1:] + b"\n"
        size = sum(map(len, (head, between, tail))) + file_bytes + skipped_bytes
        size += sum(2 * (count - 1) for count in (files, skipped) if count)
        return size, self._pieces(head, between, tail)

    def _pieces(self, head: bytes, between: bytes, tail: bytes) -> Iterator[bytes]:
        yield head
        yield from _separated(self._spool.lines(FILES))
        yield between
        yield from _separated(self._spool.lines(SKIPPED))
        yield tail


def _separated(lines: Iterator[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        yield b",\n" + line if number else line


def _json(value: dict[str, Any]) -> bytes:
    """In ASCII, so that names that are not UTF-8 survive as lone surrogates, as everywhere in the API."""
    return json.dumps(value, separators=(", ", ": ")).encode("ascii")
