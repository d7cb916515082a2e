"""What must always be true of the records, whatever happened; every test of the engine ends with it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

from scigate.gateway_api.db.schema import block, draft, event, file, transfer
from scigate.gateway_api.resources import FileState
from scigate.gateway_api.transfers.counters import bucket_of
from scigate.gateway_api.transfers.machine import ACTIVE, ARROWS, FINAL, What
from scigate.gateway_api.uploads.staged import is_staging
from sqlalchemy import Connection, func, select

_COUNTED: Final = ("total", "queued", "active", "waiting", "paused", "done", "skipped", "failed", "cancelled",
                   "bytes_total", "bytes_done")  # fmt: skip
_LINES: Final = select(event).where(event.c.type.like("file.%")).order_by(event.c.id)
_AFTER_FAILURE: Final = frozenset({FileState.WAITING, FileState.PAUSED, FileState.FAILED})


def contradictions(connection: Connection) -> list[str]:
    """All that cannot be, as sentences; empty when the records are sound. Reads everything: not for a busy moment."""
    return [*_wrong_counters(connection), *_wrong_histories(connection), *_wrong_files(connection)]


def _wrong_counters(connection: Connection) -> Iterator[str]:
    """The counters of a transfer are the sums over its files, and it is finished when nothing is left to do."""
    sums: dict[int, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(select(file)):
        counts = sums[row.transfer]
        counts.update(("total", bucket_of(FileState(row.state))))
        counts.update({"skipped": int(row.skipped), "bytes_total": row.size or 0, "bytes_done": row.bytes_done})
    for row in connection.execute(select(transfer)):
        for name in _COUNTED:
            if getattr(row, name) != sums[row.seq][name]:
                yield f"transfer {row.seq}: {name} is {getattr(row, name)}, its files say {sums[row.seq][name]}"
        left = row.listing + row.queued + row.active + row.waiting + row.paused
        if (row.finished is None) != (left > 0):
            yield f"transfer {row.seq}: finished is {row.finished}, and {left} files or folders are left to do"


def _wrong_histories(connection: Connection) -> Iterator[str]:
    """The journal of a file is a path of the state machine from QUEUED to its state, that of an upload or of a transfer
    that begins later perhaps from WAITING; every claim raises its epoch."""
    columns = (file.c.seq, file.c.state, file.c.epoch, file.c.source_storage, transfer.c.not_before)
    now = {row.seq: row for row in connection.execute(select(*columns).join(transfer))}
    state = _beginnings(connection, now)
    epoch = dict.fromkeys(now, 0)
    for row in connection.execute(_LINES):
        data = json.loads(row.data)
        yield from _wrong_step(row, data, state[row.file], epoch[row.file])
        state[row.file], epoch[row.file] = data["to"], data["epoch"]
    told = {row.file for row in connection.execute(_LINES)}
    for seq, row in now.items():
        if (row.state, row.epoch) != (state[seq], epoch[seq]) and (seq in told or row.state != FileState.FAILED):
            yield f"file {seq}: it is {row.state} in epoch {row.epoch}, its journal ends {state[seq]} in {epoch[seq]}"


def _beginnings(connection: Connection, now: dict[int, Any]) -> dict[int, str]:
    """The state of each file before its first line. Only what waits for its sender or its time may begin with that."""
    first: dict[int, str] = {}
    for row in connection.execute(_LINES):
        first.setdefault(row.file, json.loads(row.data)["from"])
    may_wait = {seq for seq, row in now.items() if is_staging(row.source_storage) or row.not_before is not None}
    waited = {seq for seq in may_wait if first.get(seq, now[seq].state) == FileState.WAITING}
    return {seq: (FileState.WAITING if seq in waited else FileState.QUEUED).value for seq in now}


def _wrong_step(row: Any, data: dict[str, Any], state: str, epoch: int) -> Iterator[str]:
    what = What(row.type.removeprefix("file."))
    before, after = FileState(data["from"]), FileState(data["to"])
    refused = before is FileState.FAILED and what is What.RETRY  # a listing refuses files before their first line
    if before != state and not refused:
        yield f"event {row.id}: {what} begins at {before}, but the file {row.file} was {state}"
    if (before, what) not in ARROWS or after not in ({ARROWS[before, what]} - {None} or _AFTER_FAILURE):
        yield f"event {row.id}: {what} leads from {before} to {after}"
    if data["epoch"] != epoch + (what is What.CLAIM):
        yield f"event {row.id}: {what} of file {row.file} has epoch {data['epoch']} after {epoch}"


def _wrong_files(connection: Connection) -> Iterator[str]:
    """What belongs to a state and to no other."""
    for row in connection.execute(select(file)):
        state = FileState(row.state)
        if state is FileState.DONE and (row.bytes_done != row.size or row.cause or not (row.proof or row.skipped)):
            yield f"file {row.seq}: DONE with {row.bytes_done} of {row.size} bytes, proof {row.proof}"
        if (row.finished is not None) != (state in FINAL):
            yield f"file {row.seq}: {state}, finished {row.finished}"
        if row.worker is not None and state not in ACTIVE:
            yield f"file {row.seq}: {state}, yet held by worker {row.worker}"
        if (row.next_try is not None) != (state is FileState.WAITING):
            yield f"file {row.seq}: {state}, next try {row.next_try}"
    done = select(file.c.seq).where(file.c.state == FileState.DONE)
    for table in (block, draft):
        newer = select(func.count()).select_from(table).join(file).where(table.c.epoch > file.c.epoch)
        if count := connection.execute(newer).scalar():
            yield f"{count} rows of {table.name} are of an epoch that has not been"
    live = select(func.count()).select_from(draft).join(file).where(file.c.seq.in_(done), draft.c.epoch == file.c.epoch)
    if count := connection.execute(live).scalar():
        yield f"{count} files are DONE and their draft is still recorded"
