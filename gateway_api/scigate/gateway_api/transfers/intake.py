"""Storing a submission: one transaction, after which the transfer is acknowledged and can no longer be lost."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from scigate.storage_backends.location import Url
from sqlalchemy import Connection, Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from ..db import points
from ..db.bulk import BulkInsert, BulkStatement
from ..db.schema import file, idempotency, lane, path_bytes, transfer, walk
from ..problems import Problem
from ..resources import FileState
from .counters import RUN, journal
from .machine import WAITS, scheduled
from .submission import Pair, Submission


def new_id() -> str:
    """An id that cannot be guessed (128 bits)."""
    return secrets.token_hex(16)


def rank_of(priority: int) -> int:
    """Priorities as the queue's index reads them: the smallest goes first."""
    return 9 - priority


def store(connection: Connection, transfer_id: str, owner: str, submission: Submission, now: float) -> int:
    """Write the transfer, its files and its folders to be listed. Returns its row number."""
    folders = [pair for pair in submission.pairs if pair.source.is_folder]
    files = [pair for pair in submission.pairs if not pair.source.is_folder]
    seq = _write_transfer(connection, transfer_id, owner, submission, now)
    common = {"transfer": seq, "rank": rank_of(submission.request.priority), "created": now}
    starts = starts_of(submission, now)
    lanes = {ends: lane_of(connection, owner, *ends) for ends in {_ends(pair) for pair in files}}
    first = _first_state(starts, now)
    _FILES.run(connection, [_file_row(pair, lanes[_ends(pair)], common, first) for pair in files])
    if folders:
        walks = {"transfer": seq, "done": False, "next_try": starts or 0.0}
        connection.execute(insert(walk), [{**walks, **_columns(pair)} for pair in folders])
    points.written(connection, "transfer.files")
    journal(connection, seq, "transfer.submitted", {"files": len(files), "folders": len(folders)}, now)
    return seq


def _ends(pair: Pair) -> tuple[str, str]:
    source = "" if isinstance(pair.source, Url) else pair.source.storage
    return source, pair.destination.storage


def starts_of(submission: Submission, now: float) -> float | None:
    """When it begins, if that is not now."""
    wanted = submission.times.not_before
    return None if wanted is None or wanted.timestamp() <= now else wanted.timestamp()


def _first_state(starts: float | None, now: float) -> Mapping[str, Any]:
    """What is written of a file whose bytes are all there: it is queued, or waits for its time."""
    if starts is None:
        return {"state": _QUEUED, "cause": None, "next_try": None}
    return {"state": _WAITING, "cause": json.dumps(scheduled(starts, now).cause.model_dump()), "next_try": starts}


def _file_row(pair: Pair, lane_id: int, common: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    columns = _columns(pair)
    paths = {name: path_bytes(columns[name]) for name in ("source_path", "destination_path")}
    row = {"lane": lane_id, "target": target_of(columns), "size": pair.size, **first}
    if pair.waits_until is not None:
        row |= {"state": _WAITING, "cause": _WAITS, "next_try": pair.waits_until}
    return {**row, **columns, **paths, **common}


def target_of(columns: Mapping[str, str], *more: str) -> bytes:
    """A digest of the destination. In a transfer each is written once; ``more`` tells apart what may not go there."""
    names = (columns["destination_storage"], columns["destination_path"], *more)
    return blake2b(b"\0".join(path_bytes(name) for name in names), digest_size=16).digest()


def add_files(connection: Connection, rows: list[dict[str, Any]]) -> Sequence[Any]:
    """Add files that a listing found; those that are there already (the listing began anew) are left as they are.
    Returns size, state, cause and target of the new ones."""
    if not rows:
        return []
    if connection.dialect.name == "sqlite":
        return _FOUND.told(connection, [_plain(row) for row in rows])
    return connection.execute(insert_for(connection)(file).on_conflict_do_nothing().returning(*_TOLD), rows).all()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its values as the driver takes them."""
    paths = {name: path_bytes(row[name]) for name in ("source_path", "destination_path")}
    return {**row, **paths, "state": str(row["state"])}


def lane_of(connection: Connection, owner: str, source: str, destination: str) -> int:
    """The number of this lane; made if it is new."""
    key = {"owner": owner, "source": source, "destination": destination}
    if not (found := _LANE.rows(connection, **key)):
        connection.execute(insert_for(connection)(lane).values(key).on_conflict_do_nothing())
        found = _LANE.rows(connection, **key)
    return int(found[0].id)


def replay(connection: Connection, owner: str, key: str, fingerprint: str) -> str | None:
    """The transfer that was accepted under this Idempotency-Key; None if it is new.

    Raises ``Problem`` 422 if the key was used for another request (draft-ietf-httpapi-idempotency-key-header).
    """
    row = next(iter(_BOUND.rows(connection, of_owner=owner, of_key=key)), None)
    if row is not None and row.fingerprint != fingerprint:
        raise Problem(422, "idempotency-key-reused", "This Idempotency-Key was used for another request.",
                      next_step="Send the same body as before, or a new key.")  # fmt: skip
    return None if row is None else str(row.transfer)


def remember(connection: Connection, binding: Mapping[str, Any]) -> None:
    """Bind an Idempotency-Key to its transfer, in the transaction that stores it; columns of ``idempotency``."""
    _BIND.run(connection, [binding])


def _write_transfer(connection: Connection, transfer_id: str, owner: str, submission: Submission, now: float) -> int:
    request = submission.request
    files = [pair for pair in submission.pairs if not pair.source.is_folder]
    starts = starts_of(submission, now)
    receiving = sum(pair.waits_until is not None for pair in files)
    waiting = len(files) if starts else receiving
    wanted = submission.times.not_before
    values: dict[str, Any] = {
        "id": transfer_id, "owner": owner, "label": request.label, "wish": RUN, "settled": True,
        "overwrite": str(request.overwrite), "verify": str(request.verify), "priority": request.priority,
        "created": now, "deadline": submission.deadline.timestamp(), "cause": _WAITS if receiving else None,
        "firm": submission.times.firm, "starts": starts, "not_before": wanted.timestamp() if wanted else None,
        "total": len(files), "queued": len(files) - waiting, "waiting": waiting,
        "listing": len(submission.pairs) - len(files), "bytes_total": sum(pair.size or 0 for pair in files),
    }  # fmt: skip
    return int(_TRANSFER.rows(connection, **values)[0].seq)


def _columns(pair: Pair) -> dict[str, str]:
    source = pair.source
    return {
        "source_storage": "" if isinstance(source, Url) else source.storage,
        "source_path": source.value if isinstance(source, Url) else source.path,
        "destination_storage": pair.destination.storage,
        "destination_path": pair.destination.path,
    }


def insert_for(connection: Connection) -> type[PostgresqlInsert] | type[SqliteInsert]:
    """The dialect's own INSERT, which can leave or update a row that is there already."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert  # type: ignore[return-value]


def _inserted(table: Table, names: str) -> Any:
    return insert(table).values({name: bindparam(name) for name in names.split()})


_QUEUED: Final = str(FileState.QUEUED)
_WAITING: Final = str(FileState.WAITING)
_WAITS: Final = json.dumps(WAITS.model_dump())
_TRANSFER: Final = BulkStatement(
    _inserted(
        transfer, "id owner label wish settled overwrite verify priority created deadline firm starts not_before cause"
        " total queued waiting listing bytes_total",
    ).returning(transfer.c.seq)
)  # fmt: skip
_FILES: Final = BulkStatement(
    _inserted(
        file, "transfer lane rank source_storage source_path destination_storage destination_path target state size"
        " cause next_try created",
    )
)  # fmt: skip
_TOLD: Final = (file.c.size, file.c.state, file.c.cause, file.c.target)
_FOUND: Final = BulkInsert(
    sqlite.insert(file)
    .values({name: bindparam(name) for name in (
        "transfer", "lane", "rank", "source_storage", "source_path", "destination_storage", "destination_path",
        "target", "state", "size", "source_version", "source_modified", "cause", "created", "finished",
    )})
    .on_conflict_do_nothing()
    .returning(*_TOLD)
)  # fmt: skip
_LANE: Final = BulkStatement(
    select(lane.c.id).where(*(lane.c[name] == bindparam(name) for name in ("owner", "source", "destination")))
)
_BOUND: Final = BulkStatement(
    select(idempotency).where(idempotency.c.owner == bindparam("of_owner"), idempotency.c.key == bindparam("of_key"))
)
_BIND: Final = BulkStatement(_inserted(idempotency, "owner key fingerprint transfer created"))
