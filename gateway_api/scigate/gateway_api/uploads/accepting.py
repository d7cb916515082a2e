"""Storing new uploads with their transfer: one transaction, after which they are acknowledged and cannot be lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from awscrt import checksums
from scigate.storage_backends.location import Location
from sqlalchemy import Connection, func, insert, or_, select, update

from ..db.schema import event, file, upload
from ..problems import Problem, conflict, not_found
from ..resources import FileRequest, Label, Overwrite, TransferRequest, Verify
from ..transfers import intake
from ..transfers.submission import Pair, Submission, refused
from ..transfers.times import LATEST_UPLOAD, LATEST_UPLOAD_DEADLINE, Times, agree
from .creation import Planned
from .model import Kind
from .rows import PUT, refuse_elsewhere, refuse_gone

MANIFESTS: Final = 100
"""So many times ``open_max`` files a user may have announced in manifests and not sent."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an upload waits for its sender, how long its transfer is tried, how many a user may have open."""

    idle: timedelta
    retry_for: timedelta
    open_max: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Uploads to be stored together, and the wishes of their transfer; ``fingerprint`` belongs to the key."""

    planned: Sequence[Planned]
    fingerprint: str
    key: str | None = None
    overwrite: Overwrite = Overwrite.FAIL
    label: Label = None
    verify: Verify = Verify.AUTO
    priority: int = 5
    not_before: datetime | None = None
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who uploads, to which gateway (the name of its staging storage), when, and on which terms."""

    owner: str
    gateway: str
    terms: Terms
    now: float

    @property
    def expires(self) -> float:
        """When an upload is given up if nothing more comes."""
        return self.now + self.terms.idle.total_seconds()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What stands in the records: the id of the (first) upload. ``replayed``: it was there before."""

    upload: str
    replayed: bool


def accept(connection: Connection, sender: Sender, wanted: Wanted) -> Accepted:
    """Store the uploads. ``Problem`` 404, 409 or 410 for parts that cannot be used, 422 for a key that was used for
    something else, 429 when the user has too many open."""
    first = wanted.planned[0]
    if wanted.key is not None and (before := intake.replay(connection, sender.owner, wanted.key, wanted.fingerprint)):
        return Accepted(before, before != first.id)  # equal: our own commit, whose answer was lost
    if connection.execute(select(upload.c.seq).where(upload.c.id == first.id)).first() is not None:
        return Accepted(first.id, replayed=False)
    if first.kind == Kind.FINAL:
        if (same := _made_of(connection, sender.owner, first)) is not None:
            return Accepted(same, replayed=True)
        wanted = _put_together(connection, sender, wanted)
    elif first.kind != PUT:
        _refuse_too_many(connection, sender)
    _store(connection, sender, wanted)
    if wanted.key is not None:  # the column is named for transfers; the fingerprint tells which of the two it is
        binding = {"owner": sender.owner, "key": wanted.key, "fingerprint": wanted.fingerprint, "transfer": first.id}
        intake.remember(connection, {**binding, "created": sender.now})
    return Accepted(first.id, replayed=False)


def _store(connection: Connection, sender: Sender, wanted: Wanted) -> None:
    transfer_seq, files = _store_transfer(connection, sender, wanted)
    rows = [_row(plan, sender, files.get(plan.id)) for plan in wanted.planned]
    connection.execute(insert(upload), rows)
    _claim_parts(connection, wanted.planned[0])
    if transfer_seq is None:
        return
    lines = [_created(plan, transfer_seq, files[plan.id], sender.now) for plan in wanted.planned if plan.kind != PUT]
    if lines:
        connection.execute(insert(event), lines)


def _store_transfer(connection: Connection, sender: Sender, wanted: Wanted) -> tuple[int | None, dict[str, int]]:
    """The transfer, and the numbers of its files by upload; a partial upload has none."""
    pairs = [
        Pair(source, plan.destination, plan.length, waits_until=None if plan.complete else sender.expires)
        for plan in wanted.planned
        if (source := Location(sender.gateway, plan.id)) and plan.destination
    ]
    if not pairs:
        return None, {}
    files = [FileRequest(source=str(pair.source), destination=str(pair.destination)) for pair in pairs]
    request = TransferRequest(files=files, overwrite=wanted.overwrite, verify=wanted.verify,
                              priority=wanted.priority, label=wanted.label)  # fmt: skip
    seq = intake.store(
        connection, intake.new_id(), sender.owner, Submission(request, pairs, _times(sender, wanted)), sender.now
    )
    its = select(file.c.source_path, file.c.seq).where(file.c.transfer == seq)
    return seq, {row.source_path: row.seq for row in connection.execute(its)}


def _times(sender: Sender, wanted: Wanted) -> Times:
    """When it is delivered. One that names no deadline gives its sender the time to send. ``Problem`` 422."""
    now, patience = datetime.fromtimestamp(sender.now, UTC), timedelta(seconds=sender.expires - sender.now)
    keeps_trying = patience + sender.terms.retry_for
    times, wrong = agree(
        wanted.not_before,
        wanted.deadline,
        now,
        keeps_trying,
        latest=LATEST_UPLOAD,
        latest_deadline=LATEST_UPLOAD_DEADLINE,
    )
    if wrong:
        raise refused(wrong)
    return times


def _row(plan: Planned, sender: Sender, file_seq: int | None) -> Mapping[str, Any]:
    kept = plan.complete and plan.kind != Kind.PARTIAL
    now = sender.now
    return {
        "id": plan.id, "owner": sender.owner, "gateway": sender.gateway, "kind": plan.kind, "file": file_seq,
        "parts": json.dumps(plan.parts) if plan.parts else None, "name": plan.name, "metadata": plan.metadata,
        "modified": now if plan.modified is None else plan.modified,
        "promised": json.dumps(dict(plan.promised)) if plan.promised else None,
        "length": plan.length, "received": (plan.length or 0) if plan.complete else 0, "crc64nvme": plan.crc64nvme,
        "created": now, "expires": None if kept else sender.expires,
        "completed": now if plan.complete else None,
    }  # fmt: skip


def _created(plan: Planned, transfer_seq: int, file_seq: int, now: float) -> Mapping[str, Any]:
    data = {"upload": plan.id, "name": plan.name, "size": plan.length}
    return journal_line("created", transfer_seq, file_seq, data, now)


def journal_line(what: str, transfer_seq: int, file_seq: int, data: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A line of the journal about an upload, as columns of ``event``."""
    return {"time": now, "type": f"upload.{what}", "transfer": transfer_seq, "file": file_seq, "data": json.dumps(data)}


def _refuse_too_many(connection: Connection, sender: Sender) -> None:
    """A manifest counts as one, whatever its length, but not without an end."""
    terms = sender.terms
    theirs = (upload.c.gateway == sender.gateway, upload.c.ended.is_(None), upload.c.owner == sender.owner)
    open_ones = (*theirs, upload.c.completed.is_(None), upload.c.end.is_(None))
    counts = select(func.count(), func.count(func.distinct(func.coalesce(file.c.transfer, -upload.c.seq))))
    rows, count = connection.execute(
        counts.select_from(upload.outerjoin(file, file.c.seq == upload.c.file)).where(*open_ones)
    ).one()
    if count >= terms.open_max or rows >= terms.open_max * MANIFESTS:
        raise Problem(429, "too-many-uploads", f"You have {count} uploads open already, as many as are allowed.",
                      next_step="Finish some, or delete those that are not needed (GET /api/v1/uploads shows them).",
                      retriable=True)  # fmt: skip


def _made_of(connection: Connection, owner: str, plan: Planned) -> str | None:
    """The final upload that was made of the same parts for the same destination: the client asks again because it
    has missed the answer."""
    whole = upload.alias()
    query = (
        select(whole.c.id, whole.c.parts, file.c.destination_storage, file.c.destination_path)
        .join(upload, upload.c.whole == whole.c.seq)
        .join(file, file.c.seq == whole.c.file)
        .where(upload.c.id == plan.parts[0], upload.c.owner == owner)
        .where(or_(whole.c.end.is_(None), whole.c.end == "done"))
    )
    row = connection.execute(query).one_or_none()
    if row is None or tuple(json.loads(row.parts)) != plan.parts:
        return None
    return str(row.id) if Location(row.destination_storage, row.destination_path) == plan.destination else None


def _put_together(connection: Connection, sender: Sender, wanted: Wanted) -> Wanted:
    """The same, with length and CRC of its parts. Each is the owner's own, complete, and in no other upload."""
    plan = wanted.planned[0]
    found = {row.id: row for row in connection.execute(select(upload).where(upload.c.id.in_(plan.parts)))}
    length, crc = 0, 0
    for id in plan.parts:
        row = found.get(id)
        if row is None or row.owner != sender.owner or row.kind != Kind.PARTIAL:
            raise not_found("upload", id)
        _check_part(row, sender.gateway)
        crc = checksums.combine_crc64nvme(crc, int(row.crc64nvme, 16), row.length)
        length += row.length
    whole = replace(plan, length=length, crc64nvme=f"{crc:016x}", complete=True)
    return replace(wanted, planned=[whole])


def _claim_parts(connection: Connection, plan: Planned) -> None:
    if plan.kind == Kind.FINAL:
        own = select(upload.c.seq).where(upload.c.id == plan.id).scalar_subquery()
        connection.execute(update(upload).where(upload.c.id.in_(plan.parts)).values(whole=own, expires=None))


def _check_part(row: Any, gateway: str) -> None:
    refuse_elsewhere(row, gateway)
    refuse_gone(row)
    if row.completed is None:
        raise conflict("part-incomplete", f"The part {row.id} has {row.received} bytes; more are to come.",
                       "Send the rest of it first.")  # fmt: skip
    if row.whole is not None:
        raise conflict("part-used", f"The part {row.id} belongs to another upload already.",
                       "Each part is used once: send it again.")  # fmt: skip
