"""The counters of a transfer: always the sums over its files, changed in the same transaction as they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, case, insert, or_, update

from ..db.bulk import BulkStatement
from ..db.schema import event, transfer
from ..resources import Cause, FileState, TransferState
from .machine import ACTIVE

RUN, PAUSED, CANCELLED = "run", "pause", "cancel"
"""What stands in ``transfer.wish``."""

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


_OPEN: Final = ("queued", "active", "waiting", "paused")
_OUTCOME: Final = ("done", "skipped", "failed", "cancelled")


def bucket_of(state: FileState) -> str:
    """The counter that a file in this state is counted by."""
    return _BUCKETS[state]


@dataclass(slots=True)
class Delta:
    """How one transfer changes."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    proof: str | None = None
    cause: Cause | None = None
    reopened: bool = False
    ended: bool = False

    def move(self, before: FileState, after: FileState) -> None:
        """A file went from one state to another."""
        left, joined = bucket_of(before), bucket_of(after)
        self.ended |= joined not in _OPEN
        if left != joined:
            self.counts[left] -= 1
            self.counts[joined] += 1

    def weaken(self, proof: str | None) -> None:
        """Of all proofs the weakest is the transfer's."""
        if proof is not None and (self.proof is None or proof > self.proof):
            self.proof = proof


def apply(connection: Connection, deltas: Mapping[int, Delta], now: float) -> None:
    """Write the changes of several transfers; those of which nothing is left to do are finished. Only a file that has
    ended can have been the last one."""
    for seq, delta in deltas.items():
        change_counters(connection, seq, delta.counts, proof=delta.proof, cause=delta.cause)
        if delta.reopened:
            connection.execute(update(transfer).where(transfer.c.seq == seq).values(finished=None))
    finish(connection, [seq for seq, delta in deltas.items() if delta.ended], now)


def change_counters(
    connection: Connection, seq: int, counts: Mapping[str, int], *, proof: str | None = None, cause: Cause | None = None
) -> None:
    """Add ``counts`` to the counters of a transfer; keep the weakest proof and the newest cause."""
    new: dict[str, Any] = {name: change for name, change in counts.items() if change}
    if proof:
        new["proof"] = str(proof)
    if cause:
        new["cause"] = json.dumps(cause.model_dump())
    if new:
        row = {f"new_{name}": value for name, value in new.items()}
        _update(tuple(sorted(new))).run(connection, [{"of_seq": seq, **row}])


def finish(connection: Connection, seqs: Sequence[int], now: float) -> None:
    """Mark those transfers finished of which nothing is left to do, and say so in the journal, once."""
    if not seqs:
        return
    for row in connection.execute(_finish(), {"of_seqs": list(seqs), "now": now}).all():
        outcome = {"files": {name: getattr(row, name) for name in _OUTCOME}, "bytes": row.bytes_done}
        journal(connection, row.seq, f"transfer.{final_state(row).lower()}", outcome, now)


@cache
def _update(names: tuple[str, ...]) -> BulkStatement:
    """Adds to counters, and sets the rest, of one transfer."""
    columns = transfer.c
    values: dict[str, Any] = {name: columns[name] + bindparam(f"new_{name}") for name in names}
    if "proof" in names:
        proof = bindparam("new_proof", type_=columns.proof.type)
        values["proof"] = case((or_(columns.proof.is_(None), columns.proof < proof), proof), else_=columns.proof)
    if "cause" in names:
        values["cause"] = bindparam("new_cause")
    return BulkStatement(update(transfer).where(columns.seq == bindparam("of_seq")).values(values))


@cache
def _finish() -> Any:
    columns = transfer.c
    open_files = columns.queued + columns.active + columns.waiting + columns.paused
    these = columns.seq.in_(bindparam("of_seqs", expanding=True))
    over = and_(these, columns.finished.is_(None), columns.listing == 0, open_files == 0)
    told = (*(columns[name] for name in _OUTCOME), columns.seq, columns.wish, columns.bytes_done)
    return update(transfer).where(over).values(finished=bindparam("now")).returning(*told)


def final_state(row: Any) -> TransferState:
    """The state of a transfer when all its files are final. A cancelled one may have had no files yet."""
    if row.cancelled or row.wish == CANCELLED:
        return TransferState.CANCELLED
    return TransferState.FAILED if row.failed else TransferState.DONE


def journal(connection: Connection, seq: int, kind: str, data: Mapping[str, Any], now: float) -> None:
    """Write a line about a whole transfer."""
    line = {"time": now, "type": kind, "transfer": seq, "file": None, "data": json.dumps(data)}
    _LINE.run(connection, [line])


_LINE: Final = BulkStatement(
    insert(event).values({name: bindparam(name) for name in ("time", "type", "transfer", "file", "data")})
)
