"""What an archive has to remember until its end, on disk: its memory does not grow with the number of files."""

from __future__ import annotations

import hashlib
import sqlite3
import unicodedata
from collections.abc import Iterator
from typing import Final

CACHE: Final = 2048  # KiB
_TABLES: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -{CACHE};
CREATE TABLE name (digest BLOB PRIMARY KEY, is_folder INTEGER) WITHOUT ROWID;
CREATE TABLE looks (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE line (number INTEGER PRIMARY KEY, list TEXT, data BLOB);
"""


class Spool:
    """A private temporary database, gone when closed. For one thread at a time."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(_TABLES + "BEGIN;")

    def take(self, name: bytes, *, is_folder: bool) -> bool:
        """Reserve a name: False if it is taken; a folder may be taken again and again as a folder."""
        digest = _digest(name)
        added = self._database.execute("INSERT OR IGNORE INTO name VALUES (?, ?)", (digest, is_folder)).rowcount
        if added or not is_folder:
            return bool(added)
        row = self._database.execute("SELECT is_folder FROM name WHERE digest = ?", (digest,)).fetchone()
        return bool(row[0])

    def looks_new(self, name: bytes) -> bool:
        """Whether no name before differs from this one only in case or Unicode form."""
        folded = unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape").casefold())
        digest = _digest(folded.encode("utf-8", "surrogateescape"))
        return bool(self._database.execute("INSERT OR IGNORE INTO looks VALUES (?)", (digest,)).rowcount)

    def add(self, list: str, data: bytes) -> None:
        """Append a line to one of the lists."""
        self._database.execute("INSERT INTO line (list, data) VALUES (?, ?)", (list, data))

    def lines(self, list: str) -> Iterator[bytes]:
        """What has been appended to a list, in order."""
        for (data,) in self._database.execute("SELECT data FROM line WHERE list = ? ORDER BY number", (list,)):
            yield data

    def measure(self, list: str) -> tuple[int, int]:
        """How many lines a list has, and their bytes."""
        query = "SELECT count(*), coalesce(sum(length(data)), 0) FROM line WHERE list = ?"
        lines, size = self._database.execute(query, (list,)).fetchone()
        return int(lines), int(size)

    def close(self) -> None:
        self._database.close()


def _digest(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=16).digest()
