"""How far the journal had come, kept beside the database: an older copy of the database shows by it."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from .database import Database, DatabaseUnavailable
from .schema import event

log = logging.getLogger(__name__)
NAME: Final = "journal-seen"


class Watermark:
    """The number of the last line of the journal that this gateway has seen, in its folder. It may lag behind."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._path = database, folder / NAME

    def is_older_copy(self) -> bool:
        """Whether the database ends before what this gateway has seen of it: it was restored from a backup."""
        return self._last() < self._seen()

    def keep(self) -> None:
        """Write down how far the journal has come; durable. If that cannot be done now, it lags behind. What is
        written never falls by itself: an older copy would then be noticed only once."""
        try:
            if (last := self._last()) > self._seen():
                self._write(last)
        except (OSError, DatabaseUnavailable) as error:
            log.warning("how far the journal has come was not written down: %s", error)

    def begin_anew(self) -> None:
        """From now on the database counts as it is: what its age means has been dealt with."""
        self._write(self._last())

    def _write(self, last: int) -> None:
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            file.write(f"{last}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def _last(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute(select(func.max(event.c.id))).scalar() or 0)

    def _seen(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            return int(self._path.read_text())
        return 0
