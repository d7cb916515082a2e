"""The only place that writes a file's state.

Every change is an arrow of the state machine, guarded by state and epoch, and stands in one transaction with its
journal lines and with the counters of its transfer. A change that finds the file elsewhere is *fenced*: nothing of it
happens, and whoever wanted it must stop.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scigate.storage_backends.errors import Fenced
from sqlalchemy import Connection, and_, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.engine import CursorResult

from ..db.schema import block, draft, event, file, transfer
from ..resources import Cause, FileState, TransferState
from .machine import ACTIVE, Failure, Snapshot, Step, What, advance

_BUCKETS: Final = {
    FileState.QUEUED: "queued",
    FileState.WAITING: "waiting",
    FileState.PAUSED: "paused",
    FileState.DONE: "done",
    FileState.FAILED: "failed",
    FileState.CANCELLED: "cancelled",
    **dict.fromkeys(ACTIVE, "active"),
}
"""File state → the counter of its transfer."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file as its holder last saw it. A change is only written if state and epoch are still these."""

    seq: int
    transfer: int
    state: FileState
    epoch: int
    size: int | None
    bytes_done: int
    failures: int = 0
    restarts: int = 0
    deadline: float = float("inf")

    def snapshot(self) -> Snapshot:
        """What the state machine needs to know."""
        return Snapshot(self.state, self.epoch, self.failures, self.restarts, self.deadline)


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that happened to one file; ``values`` are columns that change with it, ``note`` goes to the journal."""

    held: Held
    what: What
    values: Mapping[str, Any] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None


HELD_COLUMNS: Final = (file.c.seq, file.c.transfer, file.c.state, file.c.epoch, file.c.size, file.c.bytes_done,
                       file.c.failures, file.c.restarts, transfer.c.deadline)  # fmt: skip


def held_from(row: Any) -> Held:
    """The value of a row that has ``HELD_COLUMNS``."""
    return Held(row.seq, row.transfer, FileState(row.state), row.epoch, row.size, row.bytes_done, row.failures,
                row.restarts, row.deadline)  # fmt: skip


def write_moves(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    """Write all the moves, or none. Raises ``Fenced`` if any file is not where its mover thinks it is."""
    done = _write(connection, moves, now)
    if len(done) != len(moves):
        raise Fenced("another attempt has taken this file over, or its owner has stopped it")
    return done


def write_moves_that_still_fit(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    """Write the moves of those files that are still where they were, and leave the others alone."""
    if not moves:
        return []
    try:
        with connection.begin_nested():
            return write_moves(connection, moves, now)
    except Fenced:
        return [held for move in moves for held in _write(connection, [move], now)]


def _write(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    steps = [(move, advance(move.held.snapshot(), move.what, now, failure=move.failure)) for move in moves]
    if _update_files(connection, steps) != len(steps):
        return []
    _forget_drafts(connection, steps)
    connection.execute(insert(event), [_journal_line(move, step, now) for move, step in steps])
    _count(connection, steps, now)
    return [_next(move, step) for move, step in steps]


def _update_files(connection: Connection, steps: Sequence[tuple[Move, Step]]) -> int:
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for move, step in steps:
        values = {**step.values, **move.values, "state": step.state, "epoch": move.held.epoch + _raise_of(move)}
        row = {f"new_{name}": _plain(value) for name, value in values.items()}
        row |= {"old_seq": move.held.seq, "old_state": move.held.state, "old_epoch": move.held.epoch}
        by_columns[tuple(sorted(values))].append(row)
    return sum(_update_alike(connection, columns, rows) for columns, rows in by_columns.items())


def _update_alike(connection: Connection, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> int:
    where = and_(
        file.c.seq == bindparam("old_seq"),
        file.c.state == bindparam("old_state"),
        file.c.epoch == bindparam("old_epoch"),
    )
    statement = update(file).where(where).values({name: bindparam(f"new_{name}") for name in columns})
    result: CursorResult[Any] = connection.execute(statement, rows)
    return result.rowcount


def _raise_of(move: Move) -> int:
    return 1 if move.what is What.CLAIM else 0


def _plain(value: Any) -> Any:
    if isinstance(value, Cause):
        return json.dumps(value.model_dump())
    return json.dumps(value) if isinstance(value, dict) else value


def _forget_drafts(connection: Connection, steps: Sequence[tuple[Move, Step]]) -> None:
    """Forget what is gone: the draft that is the file now, one whose copying never began, blocks of an older source."""
    gone = [{"f": m.held.seq, "e": m.held.epoch} for m, s in steps if s.state is FileState.DONE or _never_began(m, s)]
    if gone:
        connection.execute(delete(draft).where(draft.c.file == bindparam("f"), draft.c.epoch == bindparam("e")), gone)
    stale = [m.held.seq for m, s in steps if s.abandon_draft and m.held.size is not None]
    if stale:
        connection.execute(delete(block).where(block.c.file.in_(stale)))


def _never_began(move: Move, step: Step) -> bool:
    """Nothing is created at a storage before the state is COPYING."""
    return move.held.state is FileState.CLAIMED and step.state is not FileState.COPYING


def _journal_line(move: Move, step: Step, now: float) -> dict[str, Any]:
    data: dict[str, Any] = {
        "from": move.held.state, "to": step.state, "epoch": move.held.epoch + _raise_of(move), **move.note
    }  # fmt: skip
    if move.failure:
        data["cause"] = move.failure.cause.model_dump()
    return {"time": now, "type": f"file.{move.what}", "transfer": move.held.transfer, "file": move.held.seq,
            "data": json.dumps(data)}  # fmt: skip


def _next(move: Move, step: Step) -> Held:
    values = {**step.values, **move.values}
    held = move.held
    return Held(
        held.seq, held.transfer, step.state, held.epoch + _raise_of(move),
        values.get("size", held.size), values.get("bytes_done", held.bytes_done),
        values.get("failures", held.failures), values.get("restarts", held.restarts), held.deadline,
    )  # fmt: skip


@dataclass(slots=True)
class _Delta:
    """How the counters of one transfer change."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    proof: str | None = None
    cause: Cause | None = None
    unfinished: bool = False


def _count(connection: Connection, steps: Iterable[tuple[Move, Step]], now: float) -> None:
    deltas: dict[int, _Delta] = defaultdict(_Delta)
    for move, step in steps:
        _add(deltas[move.held.transfer], move, step)
    for seq, delta in deltas.items():
        change_counters(connection, seq, delta.counts, proof=delta.proof, cause=delta.cause)
        if delta.unfinished:
            connection.execute(update(transfer).where(transfer.c.seq == seq).values(finished=None))
    finish(connection, list(deltas), now)


def _add(delta: _Delta, move: Move, step: Step) -> None:
    after = _next(move, step)
    delta.counts[_BUCKETS[move.held.state]] -= 1
    delta.counts[_BUCKETS[after.state]] += 1
    delta.counts["bytes_total"] += (after.size or 0) - (move.held.size or 0)
    delta.counts["bytes_done"] += after.bytes_done - move.held.bytes_done
    delta.counts["skipped"] += bool(move.values.get("skipped"))
    if step.state is FileState.DONE:
        delta.proof = max(filter(None, (delta.proof, move.values.get("proof"))), default=None)
    delta.cause = move.failure.cause if move.failure else delta.cause
    delta.unfinished |= move.what is What.RETRY


def change_counters(
    connection: Connection, seq: int, counts: Mapping[str, int], *, proof: str | None = None, cause: Cause | None = None
) -> None:
    """Add ``counts`` to the counters of a transfer; keep the weakest proof and the newest cause."""
    columns = transfer.c
    values: dict[str, Any] = {name: columns[name] + change for name, change in counts.items() if change}
    if proof:
        values["proof"] = case((or_(columns.proof.is_(None), columns.proof < proof), proof), else_=columns.proof)
    if cause:
        values["cause"] = _plain(cause)
    if values:
        connection.execute(update(transfer).where(columns.seq == seq).values(values))


def finish(connection: Connection, seqs: Sequence[int], now: float) -> None:
    """Mark those transfers finished of which nothing is left to do, and say so in the journal, once."""
    columns = transfer.c
    open_files = columns.queued + columns.active + columns.waiting + columns.paused
    over = and_(columns.seq.in_(seqs), columns.finished.is_(None), columns.listing == 0, open_files == 0)
    statement = (
        update(transfer).where(over).values(finished=now).returning(columns.seq, columns.failed, columns.cancelled)
    )
    for row in connection.execute(statement).all():
        state = final_state(row.failed, row.cancelled)
        journal(connection, row.seq, f"transfer.{state.lower()}", {}, now)


def final_state(failed: int, cancelled: int) -> TransferState:
    """The state of a transfer when all its files are final."""
    if cancelled:
        return TransferState.CANCELLED
    return TransferState.FAILED if failed else TransferState.DONE


def journal(connection: Connection, seq: int, kind: str, data: Mapping[str, Any], now: float) -> None:
    """Write a line about a whole transfer."""
    connection.execute(
        insert(event), {"time": now, "type": kind, "transfer": seq, "file": None, "data": json.dumps(data)}
    )


def read_held(connection: Connection, *where: Any, limit: int) -> list[Held]:
    """Files as they are now."""
    statement = select(*HELD_COLUMNS).join(transfer, transfer.c.seq == file.c.transfer).where(*where).limit(limit)
    return [held_from(row) for row in connection.execute(statement)]
