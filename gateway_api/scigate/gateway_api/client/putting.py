"""``put`` of a file: small ones go in one request, large ones as an upload that goes on where it broke off, in this
process or in the next."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.location import Location

from ..resources import Overwrite, Submitted, Transfer, Upload
from . import records
from .errors import Conflict, FileChanged, GatewayError, RequestRefused
from .handle import LOOK, TransferHandle
from .progress import printable
from .records import Begun, Record
from .sending import GONE, TUS, Sending, terminate, upload_path
from .session import Session, file_path, parse
from .upload import Count, How, LocalFile, look

SMALL: Final = 8 * MiB  # up to here one request is all: nothing worth going on with is lost when it breaks
LABEL_MAX: Final = 200
BETWEEN_LOOKS: Final = 1.0  # seconds, at the second leg


class SecondLeg:
    """Tells ``stored`` now and then, while the first leg is under way, what has reached the storage. Thread-safe."""

    def __init__(self, session: Session, transfer: str, stored: Count | None) -> None:
        self._session, self._transfer, self._stored = session, transfer, stored
        self._lock = threading.Lock()
        self._told, self._looked = 0, time.monotonic()

    def __call__(self) -> None:
        if self._stored is None or not self._lock.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._looked > BETWEEN_LOOKS:
                self._look(self._stored)
        finally:
            self._lock.release()

    def _look(self, stored: Count) -> None:
        with suppress(GatewayError, httpx.TransportError):  # only looking: who sends will hear of it himself
            seen = parse(Transfer, self._session.once("GET", f"transfers/{self._transfer}", stalled=LOOK))
            stored(seen.bytes_done - self._told)
            self._told = seen.bytes_done
        self._looked = time.monotonic()


def put_file(session: Session, path: Path, target: Location, how: How) -> TransferHandle:
    """Send a file. Returns when the gateway has all of it, durably. Raises ``GatewayError``."""
    file = look(path)
    if file.size <= SMALL:
        return _in_one_request(session, file, target, how)
    with records.opened(session.access.url, path, str(target), how.overwrite) as record:
        begun = _as_upload(session, record, file, target, how)
        record.remove()
    return TransferHandle(session, session.read(Transfer, f"transfers/{begun.transfer}"))


def go_on(session: Session, record: Record, file: LocalFile, begun: Begun, how: How) -> Sending | None:
    """Take an upload of an earlier run up again; None if that cannot be: its file has changed, or it is gone."""
    sending = Sending(session, file, begun.upload, how)
    try:
        if begun.seen == file.seen:
            offset = sending.find_offset()
            if is_of(session, begun, file):
                how.resumed(offset)
                return sending
            how.sent(-offset)
        drop(session, begun.upload)
    except RequestRefused as error:
        if error.status not in GONE:
            raise
    record.forget(begun.name)
    return None


def is_of(session: Session, begun: Begun, file: LocalFile) -> bool:
    """Whether what has arrived is of the file as it is now. Where its look does not tell, since it was touched and its
    time of change may have been set back, its bytes are read and compared. Raises ``GatewayError``."""
    if begun.seen != file.seen or begun.touched == file.touched:
        return begun.seen == file.seen
    durable = session.read(Upload, upload_path(begun.upload)).durable
    if durable is None or durable.bytes > file.size:
        return False
    return file.crc64nvme(0, durable.bytes).hex() == durable.crc64nvme


def deliver(session: Session, record: Record, begun: Begun, sending: Sending, second: SecondLeg) -> None:
    """Send what is missing, and remember that it is done. An upload whose file changes meanwhile is terminated, so
    that it never ends DONE. One that has ended at the gateway meanwhile, because it was cancelled or cannot get to its
    storage, is done as well: its transfer tells why. Other errors as of ``Sending.run``."""
    try:
        sending.run(second)
    except FileChanged:
        drop(session, begun.upload)
        record.forget(begun.name)
        raise
    except RequestRefused as error:
        if error.status not in GONE:
            raise
    record.finish(begun.name)


def drop(session: Session, upload: str) -> None:
    """Terminate an upload; if that fails it lacks its last bytes for ever, and the gateway clears it up."""
    with suppress(GatewayError, httpx.TransportError):
        terminate(session, upload)


def _as_upload(session: Session, record: Record, file: LocalFile, target: Location, how: How) -> Begun:
    begun = record.begun.get("")
    sending = go_on(session, record, file, begun, how) if begun else None
    if begun is None or sending is None:
        begun = _create(session, record, file, target, how)
        sending = Sending(session, file, begun.upload, how)
    deliver(session, record, begun, sending, SecondLeg(session, begun.transfer, how.stored))
    return begun


def _create(session: Session, record: Record, file: LocalFile, target: Location, how: How) -> Begun:
    if how.overwrite is Overwrite.FAIL:
        _refuse_existing(session, target)
    metadata = ",".join(f"{name} {_base64(value)}" for name, value in _metadata(file, target, how).items())
    headers = TUS | {"Upload-Length": str(file.size), "Upload-Metadata": metadata}
    headers["Idempotency-Key"] = record.key(f"{file.size} {metadata}")
    answer = session.send("POST", "uploads", repeatable=True, headers=headers)
    id = answer.headers.get("Location", "").rpartition("/")[2]
    upload = session.read(Upload, upload_path(id))
    begun = Begun("", upload.id, str(upload.transfer), file.seen, file.touched)
    record.add([begun])
    return begun


def _metadata(file: LocalFile, target: Location, how: How) -> dict[str, str]:
    return {
        "destination": str(target),
        "filename": file.path.name,
        "overwrite": how.overwrite,
        "modified": file.modified.isoformat(),
        "label": how.label or label_of(file.path.name),
        **how.times,
    }


def label_of(name: str) -> str:
    """The label of a transfer that is given no other."""
    return printable(name)[-LABEL_MAX:]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _refuse_existing(session: Session, target: Location) -> None:
    """Say at once what the transfer would say after all bytes have been sent. It decides; this only spares time."""
    try:
        session.send("GET", file_path(target.storage, target.path), params={"meta": 1}, repeatable=True)
    except RequestRefused:
        return
    detail, advice = f"{target} exists already.", "Choose another destination, or another overwrite policy."
    raise Conflict(409, {"code": "already-exists", "detail": detail, "next_step": advice})


def _in_one_request(session: Session, file: LocalFile, target: Location, how: How) -> TransferHandle:
    headers = {
        "Content-Length": str(file.size),
        "Content-Type": "application/octet-stream",
        "Repr-Digest": f"sha-256=:{base64.b64encode(file.sha256()).decode('ascii')}:",
        "Idempotency-Key": str(uuid.uuid4()),
    }
    label = how.label or label_of(file.path.name)
    params = {"overwrite": how.overwrite, "modified": file.modified.isoformat(), "label": label, **how.times}
    answer = session.send(
        "PUT", file_path(target.storage, target.path), repeatable=True, params=params, headers=headers,
        content=lambda: file.chunks(0, file.size, how.sent),
    )  # fmt: skip
    submitted = parse(Submitted, answer)
    return TransferHandle(session, submitted.transfer, replayed=submitted.replayed)
