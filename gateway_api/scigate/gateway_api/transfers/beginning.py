"""Transfers that begin later: they are held back until their time, and then let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, select, update

from ..db import points
from ..db.database import Database
from ..db.schema import file, transfer
from ..resources import FileState
from ..uploads.staged import is_staging
from .counters import journal
from .ledger import Move, held_from, write_moves_that_still_fit
from .machine import What, scheduled

PORTION: Final = 100  # transfers that begin in one commit


def is_early(row: Any, now: float) -> bool:
    """Whether the time of a row's transfer has not come."""
    return row.starts is not None and row.starts > now


def hold_back(connection: Connection, rows: Sequence[Any], now: float) -> None:
    """Let queued files wait for the time of their transfers: their owner has resumed or retried them."""
    moves = [Move(held_from(row), What.SCHEDULED, failure=scheduled(row.starts, now)) for row in rows]
    write_moves_that_still_fit(connection, moves, now)


class Beginning:
    """Lets transfers go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self) -> bool:
        """Begin with those whose time has come; whether there may be more."""
        with self._database.read() as connection:
            if connection.execute(_due(self._database.now(connection))).first() is None:
                return False
        return self._database.write(self._begin) == PORTION

    def _begin(self, connection: Connection) -> int:
        now = self._database.now(connection)
        rows = connection.execute(_due(now)).all()
        for row in rows:
            if row.finished is None:
                journal(connection, row.seq, "transfer.due", {}, now)
                _wake_uploads(connection, row.seq, now)
            begun = update(transfer).where(transfer.c.seq == row.seq, transfer.c.starts.is_not(None))
            connection.execute(begun.values(starts=None))
        points.written(connection, "transfer.due")
        return len(rows)


def _due(now: float) -> Any:
    return select(transfer.c.seq, transfer.c.finished).where(transfer.c.starts <= now).limit(PORTION)


def _wake_uploads(connection: Connection, seq: int, now: float) -> None:
    """Of an upload that is still received enough may be here already, and no new byte may come that tells so."""
    one = connection.execute(select(file.c.source_storage).where(file.c.transfer == seq).limit(1)).scalar()
    if one is not None and is_staging(one):
        waits = (file.c.transfer == seq, file.c.state == FileState.WAITING, file.c.next_try > now)
        connection.execute(update(file).where(*waits).values(next_try=now))
