"""Rows of the database as resources of the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from scigate.storage_backends.location import Location, redact
from sqlalchemy import ColumnElement, ScalarSelect, Select, case, literal_column, select

from ..db.schema import file, lane, transfer, upload
from ..resources import (
    Attempt,
    Cause,
    Counts,
    FileState,
    Overwrite,
    Proof,
    Transfer,
    TransferFile,
    TransferState,
    Verify,
)
from ..uploads.staged import is_staging
from .counters import CANCELLED, PAUSED, final_state
from .machine import FINAL, SCHEDULED, WAITS, scheduled, told
from .rates import Points, Track

_COUNTS: Final = tuple(Counts.model_fields)


_OF_UPLOAD: Final = (
    upload.c.id.label("upload_id"), upload.c.name.label("upload_name"), upload.c.expires,
    file.c.state.label("file_state"),
)  # fmt: skip


_OPEN: Final[tuple[ColumnElement[str], ...]] = tuple(
    literal_column(f"'{state}'") for state in FileState if state not in FINAL
)


def when(seconds: float | None) -> datetime | None:
    """A time of the database as a time of the API."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def certain_when(seconds: float) -> datetime:
    """The same for a column that is never empty."""
    return datetime.fromtimestamp(seconds, UTC)


def cause_of(text: str | None) -> Cause | None:
    """A stored cause."""
    return None if text is None else Cause(**json.loads(text))


def state_of(row: Any) -> TransferState:
    """The state of a transfer, from its counters and its owner's wish."""
    if row.finished is not None:
        return final_state(row)
    if row.wish == CANCELLED:
        return TransferState.CANCELLING
    if row.active:
        return TransferState.ACTIVE
    if row.wish == PAUSED or (row.paused and not (row.queued or row.waiting or row.listing)):
        return TransferState.PAUSED
    if row.starts is not None or (row.waiting and not (row.queued or row.listing)):
        return TransferState.WAITING
    return TransferState.ACTIVE if row.listing or row.done or row.failed else TransferState.QUEUED


def transfer_view(row: Any, rate: float | None = None, moving: int = 0, expected: float | None = None) -> Transfer:
    """A transfer; ``rate`` and the bytes ``moving`` now, beyond what is recorded, are known to the engine alone."""
    state = state_of(row)
    done = min(row.bytes_done + moving, max(row.bytes_total, row.bytes_done))
    left = row.bytes_total - done
    honest = rate and state is TransferState.ACTIVE and not row.listing
    return Transfer(
        id=row.id, owner=row.owner, label=row.label, state=state, overwrite=Overwrite(row.overwrite),
        verify=Verify(row.verify), priority=row.priority, created=certain_when(row.created),
        finished=when(row.finished), deadline=certain_when(row.deadline), not_before=when(row.not_before),
        listing=row.listing > 0,
        files=Counts(**{name: getattr(row, name) for name in _COUNTS}), bytes_total=row.bytes_total, bytes_done=done,
        rate=rate, eta_seconds=left / rate if honest and rate else None,
        proof=None if row.proof is None else Proof(row.proof), cause=_cause_now(row, state),
        expected_rate=expected,
    )  # fmt: skip


def _cause_now(row: Any, state: TransferState) -> Cause | None:
    """What a transfer waits for, else what is recorded as its newest cause."""
    if row.starts is not None and state is TransferState.WAITING:
        return scheduled(row.starts, row.starts).cause
    cause = cause_of(row.cause)
    over = cause is not None and (cause.code == SCHEDULED or (cause.code == WAITS.code and state.is_final))
    return None if over else cause


def file_view(row: Any, transfer_id: str, surl: str | None, moving: int = 0) -> TransferFile:
    """A file of a transfer."""
    state = FileState(row.state)
    return TransferFile(
        id=f"{transfer_id}.{row.seq}", transfer=transfer_id, source=source_text(row),
        destination=str(Location(row.destination_storage, row.destination_path)), state=state,
        size=row.size, bytes_done=min(row.bytes_done + moving, row.size or 0), attempts=row.attempts,
        skipped=row.skipped, proof=None if row.proof is None else Proof(row.proof),
        digests=json.loads(row.digests) if row.digests else {}, surl=surl, cause=told(cause_of(row.cause), state),
        next_try=when(row.next_try), created=certain_when(row.created), finished=when(row.finished),
    )  # fmt: skip


def of_upload(view: TransferFile, cause: Cause | None) -> TransferFile:
    """The same of a file that is an upload: what holds it up now. A sender who is waited for is no next try."""
    waits = cause is not None and cause.code == WAITS.code
    return view.model_copy(update={"cause": cause, "next_try": None if waits else view.next_try})


def held_up(view: Transfer, cause: Cause | None) -> Transfer:
    """The same of a transfer of which nothing can move now."""
    return view.model_copy(update={"cause": cause, "rate": None, "eta_seconds": None})


def source_text(row: Any) -> str:
    """The source as people see it: of an outside URL without what may be secret, of an upload the sender's name."""
    if is_staging(row.source_storage):
        return f"upload:{row.upload_name or row.destination_path.rpartition('/')[2]}"
    return str(Location(row.source_storage, row.source_path)) if row.source_storage else redact(row.source_path)


def way_of(seq: ColumnElement[Any]) -> ScalarSelect[Any]:
    """The storages that a file of the transfer goes between, as ``source/destination``: that of any of its files."""
    ends = lane.c.source.concat(literal_column("'/'")).concat(lane.c.destination)
    return select(ends).join(file, file.c.lane == lane.c.id).where(file.c.transfer == seq).limit(1).scalar_subquery()


TRANSFERS: Final = select(transfer, case((transfer.c.finished.is_(None), way_of(transfer.c.seq))).label("way"))
"""Transfers with what ``transfer_view`` and ``between`` need; where one that is over went does not matter any more."""


def ends_of(way: str | None) -> tuple[str, str] | None:
    """The source ('' for outside URLs) and the destination of a way."""
    source, slash, destination = (way or "").partition("/")
    return (source, destination) if slash else None


def attempt_view(row: Any, transfer_id: str) -> Attempt:
    """An attempt that has ended."""
    return Attempt(
        file=f"{transfer_id}.{row.file}", attempt=row.number, began=certain_when(row.began), ended=when(row.ended),
        points=[(seconds, rate) for seconds, rate in json.loads(row.points)],
    )  # fmt: skip


def track_view(track: Track, points: Points, transfer_id: str, began: float) -> Attempt:
    """One that is under way."""
    file = f"{transfer_id}.{track.file}"
    return Attempt(file=file, attempt=track.number, began=certain_when(began), ended=None, points=list(points))


def transfers_query(owner: str | None) -> Select[Any]:
    """The transfers of one owner, or of all."""
    query = TRANSFERS
    return query if owner is None else query.where(transfer.c.owner == owner)


def receiving_query(seq: int, limit: int) -> Select[Any]:
    """The files of a transfer that have not ended, each with the upload that it may be."""
    alive = (file.c.transfer == seq, file.c.state.not_in(FINAL))
    query = select(file, *_OF_UPLOAD).outerjoin(upload, upload.c.file == file.c.seq)
    return query.where(*alive).order_by(file.c.seq).limit(limit)


def any_open(seq: Any) -> Select[Any]:
    """One of the same: whether it is an upload. In no order, and by states, so that an index answers it at once."""
    query = select(upload.c.id.label("upload_id")).select_from(file).outerjoin(upload, upload.c.file == file.c.seq)
    return query.where(file.c.transfer == seq, file.c.state.in_(_OPEN)).limit(1)


def files_query(seq: int, state: FileState | None, after: int, limit: int) -> Select[Any]:
    """In the order in which they were found."""
    query = select(file, *_OF_UPLOAD).outerjoin(upload, upload.c.file == file.c.seq)
    query = query.where(file.c.transfer == seq, file.c.seq > after).order_by(file.c.seq).limit(limit)
    return query if state is None else query.where(file.c.state == state)
