"""What people ask of a transfer: pause, resume, cancel, retry.

The wish is stored at once; the files follow in portions, so that a transfer of a million files never blocks others.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, select, update

from ..db import points
from ..db.schema import file, transfer, walk
from ..problems import conflict
from ..resources import FileState
from .beginning import is_early
from .counters import CANCELLED, PAUSED, RUN, change_counters, finish, journal
from .ledger import Move, read_held, write_moves_that_still_fit
from .machine import What, scheduled

PORTION: Final = 1000  # files that follow a wish in one commit


class Wish(StrEnum):
    """What an owner can ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


_FOLLOW: Final[Mapping[str, tuple[tuple[FileState, What], ...]]] = {
    PAUSED: ((FileState.QUEUED, What.PAUSE), (FileState.WAITING, What.PAUSE)),
    CANCELLED: (
        (FileState.QUEUED, What.CANCEL),
        (FileState.WAITING, What.CANCEL),
        (FileState.PAUSED, What.CANCEL),
        (FileState.CLAIMED, What.CANCEL),
        (FileState.COPYING, What.CANCEL),
        (FileState.VERIFYING, What.CANCEL),
    ),
    RUN: ((FileState.PAUSED, What.RESUME), (FileState.WAITING, What.RESUME)),
}
"""Wish → which files follow, and how. Files that a worker holds are paused by that worker, at a block's border."""

_LATER: Final = ((FileState.PAUSED, What.SCHEDULED),)
"""What follows the wish to run before the time of the transfer: what waits for that time already goes on waiting."""

_PAST: Final = {Wish.PAUSE: "paused", Wish.RESUME: "resumed", Wish.CANCEL: "cancelled"}


def ask(connection: Connection, row: Any, wish: Wish, now: float) -> None:
    """Store the wish for the transfer ``row`` and let the first portion of files follow; to ask again is no error.
    Raises ``Problem`` 409 for a wish that does not fit."""
    if wish is Wish.RETRY:
        _retry(connection, row, now)
        return
    stored = {Wish.PAUSE: PAUSED, Wish.RESUME: RUN, Wish.CANCEL: CANCELLED}[wish]
    if stored == row.wish != RUN:
        return  # asked again, for example because the first answer was lost
    _refuse_misfit(row, wish)
    connection.execute(update(transfer).where(transfer.c.seq == row.seq).values(wish=stored, settled=False, cause=None))
    journal(connection, row.seq, f"transfer.{wish}-asked", {}, now)
    follow(connection, row.seq, now)


def follow(connection: Connection, seq: int, now: float) -> None:
    """Let a portion of a transfer's files follow its wish; mark it settled when none is left."""
    row = connection.execute(select(transfer).where(transfer.c.seq == seq)).one()
    left, later = PORTION, scheduled(row.starts, now) if is_early(row, now) else None
    for state, what in _LATER if later and row.wish == RUN else _FOLLOW[row.wish]:
        found = read_held(connection, file.c.transfer == seq, file.c.state == state, limit=left)
        failure = later if what is What.SCHEDULED else None
        write_moves_that_still_fit(connection, [Move(held, what, failure=failure) for held in found], now)
        left -= len(found)
        if left <= 0:
            return
    if row.wish == CANCELLED:
        _stop_listing(connection, row)
    connection.execute(update(transfer).where(transfer.c.seq == seq).values(settled=True))
    points.written(connection, "transfer.settled")
    finish(connection, [seq], now)


def _refuse_misfit(row: Any, wish: Wish) -> None:
    if row.finished is not None:
        next_step = "Nothing is left to do; 'retry' tries again what has failed."
        raise conflict("transfer-finished", f"The transfer is finished and cannot be {_PAST[wish]}.", next_step)
    if row.wish == CANCELLED:
        raise conflict("transfer-cancelled", "The transfer is being cancelled.", "Submit it again to start anew.")


def _retry(connection: Connection, row: Any, now: float) -> None:
    if row.wish == CANCELLED:
        raise conflict("transfer-cancelled", "A cancelled transfer is not retried.", "Submit it again.")
    folders = _list_again(connection, row)
    tries = [(FileState.FAILED, What.RETRY), *([] if is_early(row, now) else [(FileState.WAITING, What.RESUME)])]
    if not folders and not (row.failed or row.waiting):
        raise conflict("nothing-to-retry", "No file of this transfer has failed or waits.", "Look at its files.")
    journal(connection, row.seq, "transfer.retry-asked", {"files": row.failed + row.waiting}, now)
    connection.execute(update(transfer).where(transfer.c.seq == row.seq).values(cause=None))
    for state, what in tries:
        its = (file.c.transfer == row.seq, file.c.state == state)
        while found := read_held(connection, *its, limit=PORTION):
            write_moves_that_still_fit(connection, [Move(held, what) for held in found], now)


def _list_again(connection: Connection, row: Any) -> int:
    """Folders that could not be listed stand among the failed files; retried, they are folders to be listed again.
    Those that wait for their next try are listed now."""
    waiting = (walk.c.transfer == row.seq, walk.c.done.is_(False), walk.c.failures > 0)
    hurried = connection.execute(update(walk).where(*waiting).values(next_try=0.0)).rowcount
    same = and_(
        walk.c.transfer == file.c.transfer,
        walk.c.source_storage == file.c.source_storage,
        walk.c.source_path == file.c.source_path,
        walk.c.destination_path == file.c.destination_path,
    )
    query = select(file.c.seq, walk.c.id).join(walk, same).where(file.c.transfer == row.seq, walk.c.done)
    rows = connection.execute(query.where(file.c.state == FileState.FAILED)).all()
    if rows:
        connection.execute(delete(file).where(file.c.seq.in_([found.seq for found in rows])))
        anew = {"done": False, "worker": None, "failures": 0, "next_try": 0.0}
        connection.execute(update(walk).where(walk.c.id.in_([found.id for found in rows])).values(anew))
        change_counters(connection, row.seq, {"total": -len(rows), "failed": -len(rows), "listing": len(rows)})
        connection.execute(update(transfer).where(transfer.c.seq == row.seq).values(finished=None))
    return len(rows) + hurried


def _stop_listing(connection: Connection, row: Any) -> None:
    ended = connection.execute(update(walk).where(walk.c.transfer == row.seq, walk.c.done.is_(False)).values(done=True))
    change_counters(connection, row.seq, {"listing": -ended.rowcount})
