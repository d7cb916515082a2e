"""Transfers as the engine works on them: claims, drafts, blocks. Every write is fenced by state and epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from scigate.storage_backends.errors import ErrorKind, Fenced
from sqlalchemy import Connection, bindparam, delete, insert, literal_column, or_, select, tuple_, update

from ..db import points
from ..db.bulk import BulkInsert, BulkStatement
from ..db.database import Database
from ..db.schema import block, draft, file, lane, path_bytes, transfer
from ..resources import Cause, FileState, Overwrite, Verify
from .beginning import hold_back, is_early
from .counters import CANCELLED, PAUSED, RUN, change_counters
from .intake import insert_for
from .ledger import HELD_COLUMNS, Held, Move, held_from, read_held, write_moves, write_moves_that_still_fit
from .machine import Failure, What
from .planner import SMALL, Block
from .receiving import Receiving, starved
from .scheduler import Head, Lane
from .tasks import DoneBlock, OldDraft, Task
from .wishes import follow

WAKES: Final = 1000  # waiting files that are queued again in one commit
UNKNOWN_SIZES: Final = 32  # files of unknown size in one batch: each may turn out to be large


_TASK_COLUMNS: Final = (
    *HELD_COLUMNS, file.c.source_path, file.c.destination_storage, file.c.destination_path,
    file.c.source_version, file.c.source_modified, file.c.digests, file.c.adoptable, transfer.c.id.label("transfer_id"),
    transfer.c.overwrite, transfer.c.verify, transfer.c.wish,
)  # fmt: skip


class Work:
    """The queue and the records of running work, for one worker."""

    def __init__(self, database: Database, worker: str, receiving: Receiving | None = None) -> None:
        self._database, self._receiving = database, receiving or Receiving(database, None)
        self.worker = worker
        self._lanes: dict[int, Lane] = {}

    def heads(self) -> list[Head]:
        """The first file of every lane that has one: a loose index scan, cheap at any length of the queue. Lanes of
        uploads that are on another gateway's disk are left to it."""
        found: list[Head] = []
        with self._database.read() as connection:
            last = -1
            while rows := _HEAD.rows(connection, last=last):
                (row,) = rows
                last, its = row.lane, self._lane(connection, row.lane)
                if not self._receiving.is_elsewhere(its.source):
                    found.append(Head(its, row.rank, row.seq))
        return found

    def claim(self, chosen: Lane, most_files: int, most_bytes: int) -> list[Task]:
        """Take the next large file of the lane, or the next batch of small ones; their drafts' intents are recorded
        in the same commit. Files whose owner wants them paused, cancelled or later follow that wish instead."""

        def job(connection: Connection) -> list[Task]:
            now = self._database.now(connection)
            rows = _queued(connection, chosen.id, most_files)
            _obey(connection, [row for row in rows if row.wish != RUN], now)
            late = [row for row in rows if row.wish == RUN and row.deadline < now]
            write_moves_that_still_fit(connection, [Move(held_from(r), What.FAILURE, failure=_LATE) for r in late], now)
            hold_back(connection, [row for row in rows if row.wish == RUN and is_early(row, now)], now)
            timely = [row for row in rows if row.wish == RUN and row.deadline >= now and not is_early(row, now)]
            wanted = self._receiving.only_worth(connection, timely, now)
            return self._take(connection, chosen, _batch(wanted, most_bytes), now)

        return self._database.write(job)

    def move(self, *moves: Move) -> list[Held]:
        """Write what happened to files. Raises ``Fenced``; then nothing is written."""
        return self._database.write(lambda connection: write_moves(connection, moves, self._database.now(connection)))

    def move_if_held(self, moves: Sequence[Move]) -> list[Held]:
        """The same for those that are still held; returns only them."""
        if not moves:
            return []
        return self._database.write(
            lambda connection: write_moves_that_still_fit(connection, moves, self._database.now(connection))
        )

    def pause(self, move: Move) -> None:
        """Write the PAUSE of a running file. Its owner may have resumed the transfer since: the file then follows."""

        def job(connection: Connection) -> None:
            if write_moves_that_still_fit(connection, [move], self._database.now(connection)):
                again = update(transfer).where(transfer.c.seq == move.held.transfer).values(settled=False)
                connection.execute(again)

        self._database.write(job)

    def starved(self, held: Held) -> None:
        """Let a file wait for its sender; see ``receiving.starved``."""
        self._database.write(lambda connection: starved(connection, held, self._database.now(connection)))

    def stored(self, moves: Sequence[Move]) -> list[Held]:
        """Write STORED moves, also of files whose owner has asked to cancel meanwhile: they are at the destination,
        whole, and saying anything else would be wrong. Returns those that are still held."""

        def job(connection: Connection) -> list[Held]:
            now = self._database.now(connection)
            done = write_moves_that_still_fit(connection, moves, now)
            left = {move.held.seq: move for move in moves} if len(done) < len(moves) else {}
            for held in done:
                left.pop(held.seq, None)
            cancelled = [replace(move, held=held) for move in left.values() for held in _cancelling(connection, move)]
            return done + write_moves_that_still_fit(connection, cancelled, now)

        return self._database.write(job)

    def current(self, held: Held) -> Held | None:
        """The file as it is now; None if this worker does not own it any more."""
        with self._database.read() as connection:
            mine = (file.c.seq == held.seq, file.c.epoch == held.epoch, file.c.worker == self.worker)
            found = read_held(connection, *mine, limit=1)
        return found[0] if found else None

    def drafts(self, seq: int) -> list[OldDraft]:
        """All that the attempts at a file may have left at its destination."""
        with self._database.read() as connection:
            return _old_drafts(connection, [seq]).get(seq, [])

    def record_draft(self, held: Held, ref: str, block_length: int) -> None:
        """Remember how the draft is found again; called before its first byte."""

        def job(connection: Connection) -> None:
            _still(connection, held)
            mine = (draft.c.file == held.seq, draft.c.epoch == held.epoch)
            connection.execute(update(draft).where(*mine).values(ref=ref, block_length=block_length))
            points.written(connection, "draft.ref")

        self._database.write(job)

    def publishing(self, moves: Sequence[Move], identities: Sequence[str | None]) -> list[Held]:
        """Write VERIFIED moves together with the drafts' identities, in one commit, before anything is published.
        Returns those that are still held."""
        rows = [
            {"of_file": move.held.seq, "of_epoch": move.held.epoch, "new": identity}
            for move, identity in zip(moves, identities, strict=True)
        ]

        def job(connection: Connection) -> list[Held]:
            held = write_moves_that_still_fit(connection, moves, self._database.now(connection))
            ours = {one.seq for one in held}
            _IDENTITIES.run(connection, [row for row in rows if row["of_file"] in ours])
            points.written(connection, "draft.identity")
            return held

        return self._database.write(job)

    def record_blocks(self, held: Held, blocks: Sequence[DoneBlock]) -> Held:
        """Remember blocks that are at the draft. Raises ``Fenced``."""
        rows = [_block_row(held, done) for done in blocks]
        moved = sum(done.block.length for done in blocks)

        def job(connection: Connection) -> Held:
            now = _still(connection, held)
            statement = insert_for(connection)(block)
            again = {name: statement.excluded[name] for name in ("crc64nvme", "blake3", "token", "epoch")}
            connection.execute(statement.on_conflict_do_update(index_elements=["file", "number"], set_=again), rows)
            done = min(now.bytes_done + moved, held.size or 0)
            connection.execute(update(file).where(file.c.seq == held.seq).values(bytes_done=done, failures=0))
            change_counters(connection, held.transfer, {"bytes_done": done - now.bytes_done})
            points.written(connection, "block.recorded")
            return read_held(connection, file.c.seq == held.seq, limit=1)[0]

        return self._database.write(job)

    def blocks(self, held: Held) -> list[DoneBlock]:
        """The recorded blocks of a file."""
        with self._database.read() as connection:
            rows = connection.execute(select(block).where(block.c.file == held.seq).order_by(block.c.number)).all()
        return [
            DoneBlock(Block(row.number, row.offset, row.length), row.crc64nvme, row.blake3, row.token) for row in rows
        ]

    def forget_blocks(self, held: Held, numbers: Sequence[int] | None = None) -> Held:
        """Blocks that must be sent again; all of them without ``numbers``."""

        def job(connection: Connection) -> Held:
            _still(connection, held)
            bad = (block.c.file == held.seq,) + (() if numbers is None else (block.c.number.in_(numbers),))
            connection.execute(delete(block).where(*bad))
            lengths = connection.execute(select(block.c.length).where(block.c.file == held.seq)).scalars().all()
            now = read_held(connection, file.c.seq == held.seq, limit=1)[0]
            connection.execute(update(file).where(file.c.seq == held.seq).values(bytes_done=sum(lengths)))
            change_counters(connection, held.transfer, {"bytes_done": sum(lengths) - now.bytes_done})
            points.written(connection, "block.forgotten")
            return read_held(connection, file.c.seq == held.seq, limit=1)[0]

        return self._database.write(job)

    def forget_drafts(self, drafts: Sequence[tuple[int, int]]) -> None:
        """(file, epoch) of drafts of which nothing is left at the storage."""

        def job(connection: Connection) -> None:
            connection.execute(delete(draft).where(tuple_(draft.c.file, draft.c.epoch).in_(list(drafts))))
            points.written(connection, "draft.forgotten")

        self._database.write(job)

    def wake(self) -> bool:
        """Queue the waiting files whose time has come; whether there were any."""

        def job(connection: Connection) -> bool:
            now = self._database.now(connection)
            due = (file.c.next_try <= now, file.c.state == FileState.WAITING)
            moves = [Move(held, What.WAKE) for held in read_held(connection, *due, limit=WAKES)]
            return bool(moves and write_moves_that_still_fit(connection, moves, now))

        return self._any(file.c.next_try <= self._now()) and self._database.write(job)

    def settle(self) -> bool:
        """Let another portion of files follow the wishes of their owners; whether there may be more."""
        with self._database.read() as connection:
            seqs = (
                connection.execute(select(transfer.c.seq).where(transfer.c.settled.is_(False)).limit(10))
                .scalars()
                .all()
            )
        for seq in seqs:
            self._database.write(partial(self._follow, seq))
        return bool(seqs)

    def _follow(self, seq: int, connection: Connection) -> None:
        follow(connection, seq, self._database.now(connection))

    def told_to_stop(self) -> dict[int, str]:
        """Files of this worker whose owner wants them paused or cancelled: file → wish. One file alone is cancelled
        when its upload is ended."""
        wanted = or_(transfer.c.wish != RUN, file.c.state == FileState.CANCELLING)
        query = (
            select(file.c.seq, file.c.state, transfer.c.wish)
            .join(transfer, transfer.c.seq == file.c.transfer)
            .where(file.c.worker == self.worker, wanted)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.seq: CANCELLED if row.state == FileState.CANCELLING else row.wish for row in rows}

    def _take(self, connection: Connection, chosen: Lane, rows: Sequence[Any], now: float) -> list[Task]:
        moves = [_claim(row, self.worker) for row in rows]
        held = {h.seq: h for h in write_moves_that_still_fit(connection, moves, now)}
        old = _old_drafts(connection, [seq for seq, its in held.items() if its.epoch > 1])
        tasks = [_task(row, held[row.seq], chosen, old.get(row.seq, ())) for row in rows if row.seq in held]
        _rule_out(connection, [task.held.seq for task in tasks if task.old_drafts and not task.adoptable])
        _INTENTS.run(connection, [_intent(task, now) for task in tasks])
        points.written(connection, "draft.intent")
        return tasks

    def _lane(self, connection: Connection, lane_id: int) -> Lane:
        if lane_id not in self._lanes:
            row = connection.execute(select(lane).where(lane.c.id == lane_id)).one()
            self._lanes[lane_id] = Lane(row.id, row.owner, row.source, row.destination)
        return self._lanes[lane_id]

    def _any(self, *where: Any) -> bool:
        with self._database.read() as connection:
            return connection.execute(select(file.c.seq).where(*where).limit(1)).first() is not None

    def _now(self) -> float:
        with self._database.read() as connection:
            return self._database.now(connection)


_LATE: Final = Failure(
    ErrorKind.PERMANENT,
    Cause(code="deadline", message="the deadline of the transfer has passed", retriable=False,
          next_step="Submit it again, with a later deadline."),
)  # fmt: skip


def _queued(connection: Connection, lane_id: int, limit: int) -> Sequence[Any]:
    query = (
        select(*_TASK_COLUMNS, file.c.attempts, transfer.c.starts)
        .join(transfer, transfer.c.seq == file.c.transfer)
        .where(file.c.state == FileState.QUEUED, file.c.lane == lane_id)
        .order_by(file.c.rank, file.c.seq)
        .limit(limit)
        .with_for_update(of=file, skip_locked=True)  # several gateways on one PostgreSQL
    )
    return connection.execute(query).all()


def _obey(connection: Connection, rows: Sequence[Any], now: float) -> None:
    what = {PAUSED: What.PAUSE, CANCELLED: What.CANCEL}
    moves = [Move(held_from(row), what[row.wish]) for row in rows]
    write_moves_that_still_fit(connection, moves, now)


def _batch(rows: Sequence[Any], most_bytes: int) -> Sequence[Any]:
    """The first row if it is large, else the small ones among the next, together at most ``most_bytes``."""
    if not rows or (rows[0].size or 0) > SMALL:
        return rows[:1]
    taken: list[Any] = []
    unknown = total = 0
    for row in rows:
        unknown += row.size is None
        if (row.size or 0) > SMALL:
            continue
        total += row.size or 0
        if unknown > UNKNOWN_SIZES or (taken and total > most_bytes):
            break
        taken.append(row)
    return taken


def _claim(row: Any, worker: str) -> Move:
    """Of a small file that a listing has told all about, the copying begins with the claim, in one commit."""
    values = {"worker": worker, "adoptable": False, "attempts": row.attempts + 1}
    known = row.size is not None and row.size <= SMALL and row.source_version is not None
    if known and row.attempts == 0:
        return Move(held_from(row), What.START, values, before=(What.CLAIM,))
    return Move(held_from(row), What.CLAIM, values)


def _task(row: Any, held: Held, chosen: Lane, old: Iterable[OldDraft]) -> Task:
    return Task(
        held, row.transfer_id, chosen, row.source_storage, row.source_path, row.destination_storage,
        row.destination_path, Overwrite(row.overwrite), Verify(row.verify), row.source_version, row.source_modified,
        json.loads(row.digests) if row.digests else {}, row.adoptable, tuple(old),
    )  # fmt: skip


def _intent(task: Task, now: float) -> dict[str, Any]:
    return {
        "file": task.held.seq, "epoch": task.held.epoch, "key": task.key, "storage": task.destination_storage,
        "path": path_bytes(task.destination_path), "created": now,
    }  # fmt: skip


def _old_drafts(connection: Connection, seqs: Sequence[int]) -> dict[int, list[OldDraft]]:
    found: dict[int, list[OldDraft]] = {}
    query = select(draft).where(draft.c.file.in_(seqs)).order_by(draft.c.epoch.desc())
    for row in connection.execute(query) if seqs else ():
        old = OldDraft(row.epoch, row.key, row.ref, row.identity, row.block_length, row.created)
        found.setdefault(row.file, []).append(old)
    return found


def _rule_out(connection: Connection, seqs: Sequence[int]) -> None:
    """Somebody may still write to the drafts that these files have: no later attempt goes on with them either, also if
    this one dies before it has removed them."""
    if seqs:
        connection.execute(update(draft).where(draft.c.file.in_(seqs)).values(block_length=None))


def _cancelling(connection: Connection, move: Move) -> list[Held]:
    its = (file.c.seq == move.held.seq, file.c.epoch == move.held.epoch, file.c.state == FileState.CANCELLING)
    return read_held(connection, *its, limit=1)


def _still(connection: Connection, held: Held) -> Held:
    """The file as it is now, if this attempt still owns it. Raises ``Fenced``."""
    now = read_held(connection, file.c.seq == held.seq, limit=1)[0]
    if now.epoch != held.epoch or now.state != held.state:
        raise Fenced("another attempt has taken this file over, or its owner has stopped it")
    return now


def _block_row(held: Held, done: DoneBlock) -> dict[str, Any]:
    return {
        "file": held.seq, "number": done.block.number, "offset": done.block.offset, "length": done.block.length,
        "crc64nvme": done.crc64nvme, "blake3": done.blake3, "token": done.token, "epoch": held.epoch,
    }  # fmt: skip


_HEAD: Final = BulkStatement(
    select(file.c.lane, file.c.rank, file.c.seq)
    .where(file.c.state == literal_column(f"'{FileState.QUEUED}'"), file.c.lane > bindparam("last"))
    .order_by(file.c.lane, file.c.rank, file.c.seq)
    .limit(1)
)
_INTENTS: Final = BulkInsert(
    insert(draft).values({name: bindparam(name) for name in ("file", "epoch", "key", "storage", "path", "created")})
)
_IDENTITIES: Final = BulkStatement(
    update(draft)
    .where(draft.c.file == bindparam("of_file"), draft.c.epoch == bindparam("of_epoch"))
    .values(identity=bindparam("new"))
)
