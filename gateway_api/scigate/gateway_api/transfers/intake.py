"""Storing a submission: one transaction, after which the transfer is acknowledged and can no longer be lost."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from scigate.storage_backends.location import Url
from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from ..db import points
from ..db.schema import file, idempotency, lane, path_bytes, transfer, walk
from ..problems import Problem
from ..resources import FileState
from .counters import RUN, change_counters, finish, journal
from .machine import WAITS
from .submission import Pair, Submission


def new_id() -> str:
    """An id that cannot be guessed (128 bits)."""
    return secrets.token_hex(16)


def rank_of(priority: int) -> int:
    """Priorities as the queue's index reads them: the smallest goes first."""
    return 9 - priority


def store(connection: Connection, transfer_id: str, owner: str, submission: Submission, now: float) -> int:
    """Write the transfer, its files and its folders to be listed. Returns its row number."""
    seq = _write_transfer(connection, transfer_id, owner, submission, now)
    folders = [pair for pair in submission.pairs if pair.source.is_folder]
    files = [pair for pair in submission.pairs if not pair.source.is_folder]
    common = {"transfer": seq, "rank": rank_of(submission.request.priority), "created": now}
    rows = [_file_row(connection, owner, pair, common) for pair in files]
    waiting = sum(pair.waits_until is not None for pair in files)
    if rows:
        connection.execute(insert(file), rows)
    if folders:
        connection.execute(insert(walk), [{"transfer": seq, "done": False, **_columns(pair)} for pair in folders])
    points.written(connection, "transfer.files")
    change_counters(
        connection, seq,
        {"total": len(rows), "queued": len(rows) - waiting, "waiting": waiting, "listing": len(folders),
         "bytes_total": sum(pair.size or 0 for pair in files)},
        cause=WAITS if waiting else None,
    )  # fmt: skip
    journal(connection, seq, "transfer.submitted", {"files": len(rows), "folders": len(folders)}, now)
    finish(connection, [seq], now)
    return seq


def _file_row(connection: Connection, owner: str, pair: Pair, common: Mapping[str, Any]) -> dict[str, Any]:
    columns = _columns(pair)
    lane_id = lane_of(connection, owner, columns["source_storage"], columns["destination_storage"])
    row = {"lane": lane_id, "state": FileState.QUEUED, "target": target_of(columns), "size": pair.size}
    waits: dict[str, Any] = {"next_try": pair.waits_until, "cause": None}
    if pair.waits_until is not None:
        waits["cause"], row["state"] = json.dumps(WAITS.model_dump()), FileState.WAITING
    return {**row, **waits, **columns, **common}


def target_of(columns: Mapping[str, str], *more: str) -> bytes:
    """A digest of the destination. In a transfer each is written once; ``more`` tells apart what may not go there."""
    names = (columns["destination_storage"], columns["destination_path"], *more)
    return blake2b(b"\0".join(path_bytes(name) for name in names), digest_size=16).digest()


def add_files(connection: Connection, rows: list[dict[str, Any]]) -> Sequence[Any]:
    """Add files that a listing found; those that are there already (the listing began anew) are left as they are.
    Returns size, state, cause and target of the new ones."""
    if not rows:
        return []
    told = (file.c.size, file.c.state, file.c.cause, file.c.target)
    statement = insert_for(connection)(file).on_conflict_do_nothing().returning(*told)
    return connection.execute(statement, rows).all()


def lane_of(connection: Connection, owner: str, source: str, destination: str) -> int:
    """The number of this lane; made if it is new."""
    key = {"owner": owner, "source": source, "destination": destination}
    find = select(lane.c.id).filter_by(**key)
    if (found := connection.execute(find).scalar()) is None:
        connection.execute(insert_for(connection)(lane).values(key).on_conflict_do_nothing())
        found = connection.execute(find).scalar_one()
    return int(found)


def replay(connection: Connection, owner: str, key: str, fingerprint: str) -> str | None:
    """The transfer that was accepted under this Idempotency-Key; None if it is new.

    Raises ``Problem`` 422 if the key was used for another request (draft-ietf-httpapi-idempotency-key-header).
    """
    row = connection.execute(select(idempotency).filter_by(owner=owner, key=key)).one_or_none()
    if row is not None and row.fingerprint != fingerprint:
        raise Problem(422, "idempotency-key-reused", "This Idempotency-Key was used for another request.",
                      next_step="Send the same body as before, or a new key.")  # fmt: skip
    return None if row is None else str(row.transfer)


def remember(connection: Connection, binding: Mapping[str, Any]) -> None:
    """Bind an Idempotency-Key to its transfer, in the transaction that stores it; columns of ``idempotency``."""
    connection.execute(insert(idempotency), binding)


def _write_transfer(connection: Connection, transfer_id: str, owner: str, submission: Submission, now: float) -> int:
    request = submission.request
    values: Mapping[str, Any] = {
        "id": transfer_id, "owner": owner, "label": request.label, "wish": RUN, "settled": True,
        "overwrite": request.overwrite, "verify": request.verify, "priority": request.priority,
        "created": now, "deadline": submission.deadline.timestamp(),
    }  # fmt: skip
    return int(connection.execute(insert(transfer).values(values).returning(transfer.c.seq)).scalar_one())


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
