"""Setting right what a death left half done; at every start and every minute, idempotent, on any gateway."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.errors import ErrorKind, StorageError
from sqlalchemy import Connection, and_, delete, or_, select, update

from ..db import points
from ..db.database import Database
from ..db.schema import draft, file, walk, worker
from ..resources import FileState
from .lease import is_surely_dead, remove_stray_locks
from .ledger import Move, read_held, write_moves_that_still_fit
from .looking import abandon
from .machine import ACTIVE, FINAL, What
from .runtime import Runtime
from .tasks import OldDraft

log = logging.getLogger(__name__)
PORTION: Final = 500
AWAY: Final = frozenset({ErrorKind.TRANSIENT, ErrorKind.THROTTLED, ErrorKind.CREDENTIAL})
"""What the storage says to one question, it says to all of this round."""


class Reconciler:
    """Takes back what dead workers held, and removes what nobody needs any more."""

    def __init__(self, database: Database, runtime: Runtime, folder: Path) -> None:
        self._database = database
        self._runtime = runtime
        self._folder = folder
        self.stopping = threading.Event()
        """No storage is asked any more."""

    def take_back_all(self) -> None:
        """What dead workers held; no storage is asked."""
        for worker_id, surely in self._dead_workers():
            log.warning("worker %s has %s", worker_id, "died" if surely else "lost its lease")
            self.take_back(worker_id, surely=surely)
        self._take_back_lost()
        self._remove_stray_locks()

    def take_back(self, worker_id: str, *, surely: bool) -> None:
        """Queue its files again. Only of a worker that is surely dead may drafts be written on by another."""
        while self._database.write(lambda connection: self._lapse(connection, worker_id, surely=surely)):
            pass
        if surely:
            (self._folder / worker_id).unlink(missing_ok=True)

    def _take_back_lost(self) -> None:
        """Files of this worker that nothing moves: the records were out of reach when they were claimed or ended."""
        me = self._runtime.work.worker

        def job(connection: Connection) -> None:
            mine = read_held(connection, file.c.worker == me, file.c.state.in_(ACTIVE), limit=len(moving) + PORTION)
            lost = [held for held in mine if held.seq not in moving]
            moves = [Move(held, What.LAPSE, {"worker": None, "adoptable": True}) for held in lost]
            write_moves_that_still_fit(connection, moves, self._database.now(connection))

        with self._runtime.claiming:
            moving = set(self._runtime.signs)
            self._database.write(job)

    def _dead_workers(self) -> list[tuple[str, bool]]:
        """Those whose process or lease has ended, and whether the process surely has."""
        known = select(worker.c.id)
        strays = select(file.c.worker).where(file.c.worker.is_not(None), file.c.worker.not_in(known)).distinct()
        with self._database.read() as connection:
            now = self._database.now(connection)
            rows = connection.execute(select(worker).where(worker.c.id != self._runtime.work.worker)).all()
            unknown = connection.execute(strays).scalars().all()
        judged = [(row, is_surely_dead(self._folder, row.id, row.host)) for row in rows]
        dead = [(str(row.id), surely) for row, surely in judged if surely or row.lease_until < now]
        return dead + [(name, False) for name in unknown if name is not None]

    def _remove_stray_locks(self) -> None:
        with self._database.read() as connection:
            known = set(connection.execute(select(worker.c.id)).scalars())
        remove_stray_locks(self._folder, known)

    def _lapse(self, connection: Connection, worker_id: str, *, surely: bool) -> bool:
        """A portion of its files; False when none is left and the worker is forgotten."""
        its = (file.c.worker == worker_id, file.c.state.in_(ACTIVE))
        found = read_held(connection, *its, limit=PORTION)
        moves = [Move(held, What.LAPSE, {"worker": None, "adoptable": surely}) for held in found]
        if moves:
            write_moves_that_still_fit(connection, moves, self._database.now(connection))
            return True
        connection.execute(update(walk).where(walk.c.worker == worker_id).values(worker=None))
        connection.execute(delete(worker).where(worker.c.id == worker_id))
        points.written(connection, "worker.forgotten")
        return False

    def clear_up(self) -> None:
        """Remove drafts of files that are final, and of cancelled files that nobody holds. A storage that does not
        answer is asked once, and left for the next round: each question may take minutes."""
        orphaned = and_(file.c.state == FileState.CANCELLING, file.c.worker.is_(None))
        query = (
            select(draft, file.c.state)
            .join(file, file.c.seq == draft.c.file)
            .where(or_(file.c.state.in_(FINAL), orphaned))
            .limit(PORTION)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            cancelled = set(connection.execute(select(file.c.seq).where(orphaned).limit(PORTION)).scalars())
        away: set[str] = set()
        stuck = {row.file for row in rows if not self._remove(row, away)}
        self._end_cancelled(cancelled - stuck)

    def _remove(self, row: Any, away: set[str]) -> bool:
        if row.storage in away or self.stopping.is_set():
            return False
        old = OldDraft(row.epoch, row.key, row.ref, row.identity, row.block_length, row.created)
        try:
            abandon(self._runtime, row.file, self._runtime.backend(row.storage), row.path, [old])
        except StorageError as error:
            log.warning("the draft of file %s at %s stays for now: %s", row.file, row.storage, error)
            away |= {row.storage} if error.kind in AWAY else set()
            return False
        return True

    def _end_cancelled(self, seqs: set[int]) -> None:
        def job(connection: Connection) -> None:
            its = (file.c.seq.in_(seqs), file.c.state == FileState.CANCELLING, file.c.worker.is_(None))
            moves = [Move(held, What.CLEANED) for held in read_held(connection, *its, limit=PORTION)]
            if moves:
                write_moves_that_still_fit(connection, moves, self._database.now(connection))

        if seqs:
            self._database.write(job)
