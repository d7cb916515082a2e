"""The file of a SQLite database: whether it is whole, and whether it is still the one that was opened."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL

AGAIN: Final = 0.02  # seconds


class SqliteFile:
    """Where the database is; of other databases nothing is known, and nothing is found wrong."""

    def __init__(self, url: URL) -> None:
        named = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        self.path = Path(url.database or "") if named else None
        self._identity = self._look()

    def exists(self) -> bool:
        return self.path is None or self.path.exists()

    def what_is_wrong(self) -> str | None:
        """Why it cannot be relied on; None if it is whole. Reads all of it, and changes nothing.

        Source: SQLite, "PRAGMA quick_check". It takes about a second for each GB.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            with closing(sqlite3.connect(self.path)) as connection:
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError:
            return None  # locked, or not ours to read: opening it says so, and waits for it
        except sqlite3.DatabaseError as error:
            found = str(error)
        return None if found == "ok" else " ".join(found.split())

    def what_has_happened(self) -> str | None:
        """What somebody did to it since it was opened: what is committed now would be lost with the file."""
        if self.path is None or (now := self._look()) == self._identity:
            return None
        if self._identity is None:
            self._identity = now  # it was made only now
            return None
        what = "replaced" if now else "removed"
        return f"the file {self.path} was {what} while the gateway runs; restart the gateway"

    def _look(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def log_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Have the file keep a write-ahead log; nothing if it does already. While somebody else writes, such as a gateway
    that begins on it in this moment, SQLite refuses that at once, whatever its busy timeout: it is asked again, for
    ``patience`` seconds. Raises ``sqlite3.OperationalError``.
    """
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(AGAIN)
        else:
            return
