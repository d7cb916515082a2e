"""Files whose source is an upload that is still received: when they move, when they wait, when they are given up.

Who writes that an upload is complete, and who writes that its file waits for more, both lock the row of the upload
first: else each could miss what the other does, and a whole upload would wait for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from scigate.storage_backends.errors import ErrorKind
from sqlalchemy import Connection, bindparam, select, update

from ..db.bulk import BulkStatement
from ..db.database import Database
from ..db.schema import file, transfer, upload
from ..resources import Cause, FileState
from ..uploads.source import StagedSource
from ..uploads.staged import is_staging
from ..uploads.window import Window
from .beginning import is_early
from .ledger import HELD_COLUMNS, Held, Move, held_from, read_held, write_moves_that_still_fit
from .machine import WAITS, Failure, Impossible, What, advance, scheduled
from .planner import worth_moving
from .times import KEEPS_TRYING

SOONEST: Final = 60.0  # seconds until a file that waits for its sender is looked at by itself
LOOKED_AT: Final = 500  # growing uploads in one question to the database

EXPIRED: Final = Failure(
    ErrorKind.PERMANENT,
    Cause(code="upload-expired", message="The sender did not come back in time, and the upload was given up.",
          retriable=False, next_step="Send the file again."),
)  # fmt: skip
GONE: Final = Failure(
    ErrorKind.PERMANENT,
    Cause(code="upload-gone", message="The bytes of this upload are not kept any more.", retriable=False,
          next_step="Send the file again."),
)  # fmt: skip


def received(connection: Connection, file_seq: int, now: float, *, retry_for: timedelta = KEEPS_TRYING) -> bool:
    """Queue a file that waits for its sender: enough of it is here, or all; whether it waited. From then on it waits
    for the time of its transfer, if that has not come. In any other state nothing happens: it moves already, or its
    owner has stopped it.

    Called in the transaction that records the last byte, after ``upload.completed`` is written. The deadline of the
    transfer is counted from now on, unless its owner has named it: how long a sender takes is no fault of the
    storage's.
    """
    found = _lock_upload(connection, file_seq)
    _PROLONG.run(connection, [{"of_file": file_seq, "until": now + retry_for.total_seconds()}])
    row = connection.execute(_WAITING, {"of_file": file_seq}).one_or_none()
    if row is None or not _is_receiving(row.cause):
        return False
    held = held_from(row)
    told = found is not None and held.size is None and found.length is not None
    values = {"size": found.length} if told else {}
    later = scheduled(row.starts, now) if is_early(row, now) else None
    move = Move(held, What.SCHEDULED if later else What.RECEIVED, values, failure=later)
    done = write_moves_that_still_fit(connection, [move], now)
    if _is_receiving(row.transfer_cause):  # the transfer itself does not wait any more
        connection.execute(update(transfer).where(transfer.c.seq == held.transfer).values(cause=None))
    return bool(done)


def expired(connection: Connection, file_seq: int, now: float) -> bool:
    """Give up the file of an upload whose sender did not come back; whether it is. One that its owner has cancelled,
    or that has all its bytes, is left alone."""
    return _moved(connection, file_seq, What.EXPIRED, now, EXPIRED)


def cancel(connection: Connection, file_seq: int, now: float) -> FileState:
    """Cancel the file of an upload that is terminated, also one that has failed; its state after that.

    What is being published becomes DONE; what is CANCELLING is cleaned up by who moves it."""
    _moved(connection, file_seq, What.CANCEL, now)
    return FileState(connection.execute(select(file.c.state).where(file.c.seq == file_seq)).scalar_one())


def starved(connection: Connection, held: Held, now: float) -> None:
    """The bytes that were needed did not come: the file waits for its sender, or, if they came in this moment, goes on.
    Nothing happens to a file that is held by somebody else."""
    found = _lock_upload(connection, held.seq)
    fits = held.state in (FileState.CLAIMED, FileState.COPYING)
    if found is None or found.completed is not None or not fits:
        move = Move(held, What.RELEASE, {"adoptable": True})
    else:
        move = Move(held, What.STARVED, failure=_waits(found, now))
    write_moves_that_still_fit(connection, [move], now)


class Receiving:
    """Which files of the uploads of this gateway are worth a slot. Without a ``source``: none is here."""

    def __init__(self, database: Database, source: StagedSource | None, window: Window | None = None) -> None:
        self._database, self.source, self._window = database, source, window

    def is_elsewhere(self, storage: str) -> bool:
        """Whether this storage holds the uploads of another gateway, which alone can move them."""
        return is_staging(storage) and (self.source is None or storage != self.source.name)

    def is_never_whole_here(self, storage: str, size: int) -> bool:
        """Whether a source of this ``size`` is an upload whose first bytes have to make way for its last ones."""
        return is_staging(storage) and self._window is not None and size > self._window.quota

    def queue(self) -> None:
        """Queue those files of which enough has arrived since they were last looked at; give up what is at its
        storage, when the room for uploads is scarce."""
        if self._window:
            self._window.slide()
        news = sorted(self.source.arrivals.news()) if self.source else []
        for first in range(0, len(news), LOOKED_AT):
            if worth := self._worth(news[first : first + LOOKED_AT]):
                self._database.write(partial(self._queue, worth))

    def gives_way(self, upload_id: str, size: int | None) -> bool:
        """Whether the bytes of an upload stay here for now: its sender is held up by us, and what moves them on would
        take the disk and the cores from it. Not when the room for uploads is needed."""
        if self.source is None or not self.source.arrivals.is_pressing(upload_id):
            return False
        more = max(0, (size or 0) - self.source.arrivals.known(upload_id))
        return self._window is None or not self._window.is_scarce(more)

    def only_worth(self, connection: Connection, rows: Sequence[Any], now: float) -> Sequence[Any]:
        """Of the files that are about to be claimed those that can go on now. The others wait again: their owner has
        resumed or retried them, or their time has come, but not their bytes."""
        if not rows or not is_staging(rows[0].source_storage):
            return rows
        seqs = [row.seq for row in rows]
        known = _uploads(connection, seqs)
        locked = _uploads(connection, seqs, lock=True)
        rows = [row for row in rows if row.seq in locked or row.seq not in known]  # the others change in this moment
        good = [row for row in rows if self._can_go_on(row, locked.get(row.seq))]
        kept = {row.seq for row in good}
        moves = [_put_back(row, locked.get(row.seq), now) for row in rows if row.seq not in kept]
        write_moves_that_still_fit(connection, moves, now)
        return good

    def _worth(self, ids: Sequence[str]) -> list[int]:
        query = (
            select(upload.c.id, upload.c.received, file.c.seq, file.c.size, file.c.bytes_done)
            .join(file, file.c.seq == upload.c.file)
            .join(transfer, transfer.c.seq == file.c.transfer)
            .where(upload.c.id.in_(ids), file.c.state == FileState.WAITING, upload.c.ended.is_(None))
            .where(transfer.c.starts.is_(None))
        )
        with self._database.read() as connection:
            return [row.seq for row in connection.execute(query) if self._is_worth(row, row.id, row.received)]

    def _queue(self, seqs: Sequence[int], connection: Connection) -> None:
        now = self._database.now(connection)
        for seq in seqs:
            received(connection, seq, now)

    def _can_go_on(self, row: Any, found: Any) -> bool:
        if found is None or found.ended is not None:
            return False
        return found.completed is not None or self._is_worth(row, found.id, found.received)

    def _is_worth(self, row: Any, upload_id: str, durable: int) -> bool:
        here = max(durable, self.source.arrivals.known(upload_id) if self.source else 0)
        most = self._window.longest_wait if self._window else None
        if not worth_moving(row.size, row.bytes_done, here, most):
            return False
        if self.source and self.gives_way(upload_id, row.size):
            self.source.arrivals.look_again(upload_id)  # it may be worth it even if nothing more comes
            return False
        return True


def _put_back(row: Any, found: Any, now: float) -> Move:
    if found is None or found.ended is not None:
        return Move(held_from(row), What.FAILURE, failure=GONE)
    return Move(held_from(row), What.STARVED, failure=_waits(found, now))


def _waits(found: Any, now: float) -> Failure:
    """Waiting for the sender; by itself the file is only looked at again when the upload would have expired."""
    return Failure(ErrorKind.TRANSIENT, WAITS, max((found.expires or now) - now, SOONEST))


def _moved(connection: Connection, file_seq: int, what: What, now: float, failure: Failure | None = None) -> bool:
    _lock_upload(connection, file_seq)
    held = read_held(connection, file.c.seq == file_seq, limit=1)[0]
    try:
        advance(held.snapshot(), what, now, failure=failure)
    except Impossible:
        return False
    return bool(write_moves_that_still_fit(connection, [Move(held, what, failure=failure)], now))


def _is_receiving(cause: str | None) -> bool:
    return cause is not None and json.loads(cause)["code"] == WAITS.code


def _lock_upload(connection: Connection, file_seq: int) -> Any:
    return connection.execute(_LOCK, {"of_file": file_seq}).one_or_none()


def _uploads(connection: Connection, file_seqs: Sequence[int], *, lock: bool = False) -> dict[int, Any]:
    query = select(upload).where(upload.c.file.in_(file_seqs))
    query = query.with_for_update(skip_locked=True) if lock else query  # never wait: the files are locked already
    return {row.file: row for row in connection.execute(query)}


_LOCK: Final = (
    select(upload.c.length, upload.c.completed, upload.c.ended, upload.c.expires)
    .where(upload.c.file == bindparam("of_file"))
    .with_for_update()
)
_WAITING: Final = (
    select(*HELD_COLUMNS, file.c.cause, transfer.c.starts, transfer.c.cause.label("transfer_cause"))
    .join(transfer, transfer.c.seq == file.c.transfer)
    .where(file.c.seq == bindparam("of_file"), file.c.state == FileState.WAITING)
)
_PROLONG: Final = BulkStatement(
    update(transfer)
    .where(
        transfer.c.seq == select(file.c.transfer).where(file.c.seq == bindparam("of_file")).scalar_subquery(),
        transfer.c.deadline < bindparam("until"),
        transfer.c.firm.is_(False),
    )
    .values(deadline=bindparam("until"))
)
"""Made once: every small file of a folder comes by here."""
