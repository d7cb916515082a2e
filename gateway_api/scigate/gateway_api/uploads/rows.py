"""Rows of the table ``upload``, with their files and transfers, as values and resources. No I/O."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from scigate.storage_backends.location import Location
from sqlalchemy import Select, bindparam, select

from ..db.schema import file, transfer, upload
from ..problems import Problem
from ..resources import Cause, Durable, FileState, Leg, Upload, UploadState
from .model import Kind, UploadStatus
from .staged import StagedPart, StagedUpload

PUT: Final = "put"
"""The kind of an upload that came in one request and has no resource of its own."""

QUERY: Final[Select[Any]] = (
    select(
        upload, file.c.state.label("file_state"), file.c.cause.label("file_cause"), file.c.bytes_done,
        file.c.destination_storage, file.c.destination_path, transfer.c.id.label("transfer_id"),
        transfer.c.seq.label("transfer_seq"), transfer.c.starts,
    )
    .outerjoin(file, file.c.seq == upload.c.file)
    .outerjoin(transfer, transfer.c.seq == file.c.transfer)
)  # fmt: skip
BY_ID: Final = QUERY.where(upload.c.id == bindparam("of_id"))
BY_NUMBER: Final = QUERY.where(upload.c.seq == bindparam("of_seq"))
"""Made once, as every request asks them, some several times."""

_END: Final = {
    "expired": UploadState.EXPIRED,
    "cancelled": UploadState.CANCELLED,
    "failed": UploadState.FAILED,
    "done": UploadState.DONE,
}
_FILE: Final = {
    FileState.FAILED: UploadState.FAILED,
    FileState.CANCELLING: UploadState.CANCELLED,
    FileState.CANCELLED: UploadState.CANCELLED,
}


def state_of(row: Any) -> UploadState:
    """How far an upload is. What is at its storage is DONE, also if it was ended in the moment when it got there."""
    if row.file is not None and row.file_state == FileState.DONE:
        return UploadState.DONE
    if row.end is not None:
        return _END[row.end]
    if row.file is not None and (ended := _FILE.get(FileState(row.file_state))):
        return ended
    if row.completed is None:
        return UploadState.RECEIVING
    return UploadState.DONE if row.whole is not None else UploadState.RECEIVED


def is_over(row: Any) -> bool:
    """Whether nobody needs the bytes of an upload that has ended any more."""
    final = (FileState.DONE, FileState.CANCELLED, FileState.FAILED)
    return row.end is not None and (row.file is None or row.file_state in final) and row.ended is None


def parts_of(row: Any) -> tuple[str, ...]:
    """The ids of the partial uploads that a final one is made of, in order."""
    return tuple(json.loads(row.parts)) if row.parts else ()


def promised_of(row: Any) -> dict[str, str]:
    """The digests that the sender promises for the whole: hexadecimal by algorithm."""
    return dict(json.loads(row.promised)) if row.promised else {}


def status_of(row: Any, largest: int) -> UploadStatus:
    """What protocols tell of an upload; ``largest`` is the longest one that is taken here."""
    return UploadStatus(
        id=row.id, kind=Kind(row.kind), length=row.length, offset=row.received, complete=row.completed is not None,
        expires=_when(row.expires), metadata=row.metadata, parts=parts_of(row), largest=largest,
    )  # fmt: skip


def view(row: Any, arrived: Leg, stored: Leg, held: int | None, cause: Cause | None) -> Upload:
    """An upload with its two legs. ``held``: bytes of it that take room here; ``cause``: what holds it up now."""
    destination = None if row.file is None else str(Location(row.destination_storage, row.destination_path))
    state = state_of(row)
    over = state in (UploadState.DONE, UploadState.CANCELLED, UploadState.EXPIRED)
    return Upload(
        id=row.id, owner=row.owner, name=row.name, destination=destination, transfer=row.transfer_id,
        file=None if row.file is None else f"{row.transfer_id}.{row.file}", state=state, size=row.length,
        arrived=arrived, stored=stored, durable=Durable(bytes=row.received, crc64nvme=row.crc64nvme), held=held,
        created=datetime.fromtimestamp(row.created, UTC), expires=None if over else _when(row.expires),
        cause=None if state is UploadState.CANCELLED else cause,
    )  # fmt: skip


def cause_of(row: Any) -> Cause | None:
    """What is recorded of its file."""
    return Cause(**json.loads(row.file_cause)) if row.file_cause else None


def staged(row: Any, parts: tuple[StagedPart, ...]) -> StagedUpload:
    """What the engine reads."""
    complete = row.completed is not None
    return StagedUpload(
        id=row.id, length=row.length, received=row.received, complete=complete, parts=parts, modified=row.modified,
        crc64nvme=row.crc64nvme if complete else None, released=row.released,
    )  # fmt: skip


def refuse_elsewhere(row: Any, gateway: str) -> None:
    """Raise ``Problem`` 503 for an upload on another gateway's disk: behind one address, the next try may get there."""
    if row.gateway != gateway:
        raise Problem(503, "upload-elsewhere", f"The bytes of the upload {row.id} are at another gateway.",
                      next_step="Try again: send all requests of an upload to the same gateway.", retriable=True,
                      retry_after=timedelta(seconds=1))  # fmt: skip


def refuse_gone(row: Any) -> None:
    """Raise ``Problem`` 410 for an upload that has ended without being stored: nothing can be added, ever."""
    state = state_of(row)
    if state is UploadState.EXPIRED:
        raise Problem(410, "upload-expired", f"The upload {row.id} has expired: its sender did not come back in time.",
                      next_step="Send the file again as a new upload.")  # fmt: skip
    if state is UploadState.CANCELLED or row.end == "failed":
        ended = "has failed" if row.end == "failed" else "was cancelled"
        raise Problem(410, "upload-gone", f"The upload {row.id} {ended}; nothing of it is kept.",
                      next_step="Send the file again as a new upload.")  # fmt: skip


def refuse_failed(row: Any) -> None:
    """Raise ``Problem`` 409 when sending more is useless: the file has ended before its last byte came."""
    if row.completed is not None or row.file is None:
        return
    if row.file_state == FileState.FAILED:
        cause = Cause(**json.loads(row.file_cause))
        raise Problem(409, "upload-failed", "The file of this upload has failed already.", detail=cause.message,
                      next_step=f"{cause.next_step} Then retry its transfer, or send it anew.")  # fmt: skip
    if row.file_state == FileState.DONE:
        raise Problem(409, "upload-not-needed", "The destination is newer already; nothing more of the file is needed.",
                      next_step="Choose another overwrite policy, or another destination.")  # fmt: skip


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
