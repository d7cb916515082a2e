"""Whose transfers are on their way: who is not idle, although they may look so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Select, and_, exists, or_, select, union

from ..db.database import Database
from ..db.schema import file, lane, transfer, upload, walk
from ..resources import FileState
from .counters import RUN
from .machine import ACTIVE

SOON: Final = timedelta(minutes=10)
"""Who waits for a time that comes within this is on their way too; and who has sent something within this."""


class Present:
    """Reads it from the records. ``upload_expires``: how long an upload waits for its sender."""

    def __init__(self, database: Database, upload_expires: timedelta) -> None:
        self._database, self._upload_expires = database, upload_expires

    def owners(self) -> set[str]:
        """Who has files that move, are to move next, or are still being sent. What its owner has paused does not
        count, nor what waits for days. Every part of the question has an index, however many transfers there are."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            return set(connection.execute(self._query(now)).scalars())

    def _query(self, now: float) -> Select[Any]:
        soon = SOON.total_seconds()
        moves = file.c.state.in_([FileState.QUEUED, *ACTIVE])
        waits = and_(file.c.state == FileState.WAITING, file.c.next_try <= now + soon)
        of_files = select(lane.c.owner).where(exists().where(file.c.lane == lane.c.id, or_(moves, waits)))
        listed = select(transfer.c.owner).join(walk, walk.c.transfer == transfer.c.seq)
        of_walks = listed.where(walk.c.done.is_(False), walk.c.next_try <= now + soon, transfer.c.wish == RUN)
        fed = upload.c.expires > now + self._upload_expires.total_seconds() - soon  # put off whenever something comes
        of_uploads = select(upload.c.owner).where(upload.c.ended.is_(None), fed)
        names = union(of_files, of_walks, of_uploads).subquery()
        return select(names.c.owner)
