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
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from scigate.storage_backends.crash_points import is_armed
from scigate.storage_backends.errors import Fenced
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ..db import points
from ..db.bulk import BulkInsert, BulkStatement
from ..db.schema import block, draft, event, file, transfer
from ..resources import Cause, FileState
from ..uploads.staged import is_staging
from . import counters
from .machine import Failure, Snapshot, Step, What, advance


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
    staged: bool = False

    def snapshot(self) -> Snapshot:
        """What the state machine needs to know."""
        return Snapshot(self.state, self.epoch, self.failures, self.restarts, self.deadline, self.staged)


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that happened to one file, ``before`` it perhaps others that are written in the same commit.

    ``values`` are columns that change with it, ``note`` goes to the journal.
    """

    held: Held
    what: What
    values: Mapping[str, Any] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    before: tuple[What, ...] = ()


@dataclass(slots=True)
class _Change:
    """A move, thought through: what is written of it, and the file as it is then."""

    move: Move
    after: Held
    values: dict[str, Any]
    lines: list[dict[str, Any]]
    abandon_draft: bool


_Steps: TypeAlias = dict[tuple[Any, ...], Step]
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})

HELD_COLUMNS: Final = (
    file.c.seq, file.c.transfer, file.c.state, file.c.epoch, file.c.size, file.c.bytes_done, file.c.failures,
    file.c.restarts, transfer.c.deadline, file.c.source_storage,
)  # fmt: skip


def held_from(row: Any) -> Held:
    """The value of a row that has ``HELD_COLUMNS``."""
    return Held(
        row.seq, row.transfer, FileState(row.state), row.epoch, row.size, row.bytes_done, row.failures, row.restarts,
        row.deadline, is_staging(row.source_storage),
    )  # fmt: skip


def read_held(connection: Connection, *where: Any, limit: int) -> list[Held]:
    """Files as they are now."""
    statement = select(*HELD_COLUMNS).join(transfer, transfer.c.seq == file.c.transfer).where(*where).limit(limit)
    return [held_from(row) for row in connection.execute(statement)]


def write_moves(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    """Write all the moves, or none. Raises ``Fenced`` if any file is not where its mover thinks it is."""
    done = _write(connection, moves, now)
    if len(done) != len(moves):
        raise Fenced("another attempt has taken this file over, or its owner has stopped it")
    return done


def write_moves_that_still_fit(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    """Write the moves of those files that are still where they were, and leave the others alone."""
    if len(moves) <= 1:
        return _write(connection, moves, now)  # it is written, or nothing is
    try:
        with connection.begin_nested():
            return write_moves(connection, moves, now)
    except Fenced:
        return [held for move in moves for held in _write(connection, [move], now)]


def _write(connection: Connection, moves: Sequence[Move], now: float) -> list[Held]:
    steps: _Steps = {}
    changes = [_think(move, now, steps) for move in moves]
    if not changes:
        return []
    if _update_files(connection, changes) != len(changes):
        return []
    _forget_drafts(connection, changes)
    write_lines(connection, [line for change in changes for line in change.lines])
    _count(connection, changes, now)
    if is_armed():
        points.written(connection, *_arrows(changes))
    return [change.after for change in changes]


def write_lines(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append lines to the journal: the columns of ``event`` except its number."""
    _EVENTS.run(connection, lines)


def _think(move: Move, now: float, steps: _Steps) -> _Change:
    change = _Change(move, move.held, {}, [], abandon_draft=False)
    for what in (*move.before, move.what):
        step = _step(change.after, what, now, move.failure, steps)
        before, change.after = change.after, _moved(change.after, step.state, what, {**step.values, **move.values})
        change.values |= step.values
        change.abandon_draft |= step.abandon_draft
        change.lines.append(_journal_line(move, before, change.after, what, now))
    change.values |= move.values
    return change


def _step(held: Held, what: What, now: float, failure: Failure | None, steps: _Steps) -> Step:
    """Thought through once for all files of a batch that are alike; each that failed rests for a time of its own."""
    alike = (held.state, what, held.epoch, held.failures, held.restarts, held.deadline, held.staged)
    if failure is not None or alike not in steps:
        steps[alike] = advance(held.snapshot(), what, now, failure=failure)
    return steps[alike]


def _moved(held: Held, state: FileState, what: What, values: Mapping[str, Any]) -> Held:
    return Held(
        held.seq, held.transfer, state, held.epoch + (what is What.CLAIM), values.get("size", held.size),
        values.get("bytes_done", held.bytes_done), values.get("failures", held.failures),
        values.get("restarts", held.restarts), held.deadline, held.staged,
    )  # fmt: skip


def _journal_line(move: Move, before: Held, after: Held, what: What, now: float) -> dict[str, Any]:
    note = tuple(move.note.items()) if what is move.what else ()
    data = _journal_data(before.state, after.state, after.epoch, note)
    if move.failure:
        data = json.dumps({**json.loads(data), "cause": move.failure.cause.model_dump()})
    return {"time": now, "type": _type_of(what), "transfer": before.transfer, "file": before.seq, "data": data}


def _arrows(changes: Iterable[_Change]) -> Iterable[str]:
    """The crash points of these changes: one for every arrow that is taken, ``file.COPYING.copied``."""
    lines = [line for change in changes for line in change.lines]
    return dict.fromkeys(f"file.{json.loads(line['data'])['from']}.{line['type'].partition('.')[2]}" for line in lines)


@lru_cache(maxsize=4096)
def _journal_data(before: FileState, after: FileState, epoch: int, note: tuple[tuple[str, Any], ...]) -> str:
    """Remembered, because the files of a batch differ in nothing of it."""
    return json.dumps({"from": before, "to": after, "epoch": epoch, **dict(note)})


@cache
def _type_of(what: What) -> str:
    return f"file.{what}"


def _update_files(connection: Connection, changes: Sequence[_Change]) -> int:
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for change in changes:
        row = {f"new_{name}": _plain(value) for name, value in change.values.items()}
        by_columns[tuple(sorted(change.values))].append(row)
        held = change.move.held
        row |= {
            "new_state": str(change.after.state), "new_epoch": change.after.epoch,
            "old_seq": held.seq, "old_state": str(held.state), "old_epoch": held.epoch,
        }  # fmt: skip
    return sum(_file_update(columns).run(connection, rows) for columns, rows in by_columns.items())


@cache
def _file_update(columns: tuple[str, ...]) -> BulkStatement:
    columns = (*columns, "state", "epoch")
    where = [file.c[name] == bindparam(f"old_{name}") for name in ("seq", "state", "epoch")]
    return BulkStatement(update(file).where(*where).values({name: bindparam(f"new_{name}") for name in columns}))


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:  # nearly always
        return value
    if isinstance(value, Cause):
        return json.dumps(value.model_dump())
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value) if isinstance(value, StrEnum) else value


def _forget_drafts(connection: Connection, changes: Iterable[_Change]) -> None:
    """Forget what is gone: the draft that is the file now, one whose copying never began, blocks of an older source."""
    gone = [change.move.held for change in changes if change.after.state is FileState.DONE or _left_nothing(change)]
    _DRAFT_DELETE.run(connection, [{"of_file": held.seq, "of_epoch": held.epoch} for held in gone])
    stale = [change.move.held.seq for change in changes if change.abandon_draft and change.move.held.size is not None]
    if stale:
        connection.execute(delete(block).where(block.c.file.in_(stale)))


def _left_nothing(change: _Change) -> bool:
    """Nothing is created at a storage before the state is COPYING, or when it refused at once."""
    move = change.move
    never_began = move.held.state is FileState.CLAIMED and change.after.state is not FileState.COPYING
    return never_began or (move.failure is not None and move.failure.untouched)


def _count(connection: Connection, changes: Iterable[_Change], now: float) -> None:
    deltas: dict[int, counters.Delta] = defaultdict(counters.Delta)
    for change in changes:
        before, after, move = change.move.held, change.after, change.move
        delta = deltas[before.transfer]
        delta.move(before.state, after.state)
        delta.counts["bytes_total"] += (after.size or 0) - (before.size or 0)
        delta.counts["bytes_done"] += after.bytes_done - before.bytes_done
        delta.counts["skipped"] += bool(move.values.get("skipped"))
        delta.weaken(move.values.get("proof") if after.state is FileState.DONE else None)
        delta.cause = move.failure.cause if move.failure else delta.cause
        delta.reopened |= before.state is FileState.FAILED  # it finishes again, and that is told again
    counters.apply(connection, deltas, now)


_EVENTS: Final = BulkInsert(
    insert(event).values({name: bindparam(name) for name in ("time", "type", "transfer", "file", "data")})
)
_DRAFT_DELETE: Final = BulkStatement(
    delete(draft).where(draft.c.file == bindparam("of_file"), draft.c.epoch == bindparam("of_epoch"))
)
