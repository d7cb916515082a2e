"""Uploads as people use them: create, look, append, end. Durable when a method returns."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from scigate.storage_backends.backend import Kind as EntryKind
from scigate.storage_backends.errors import AlreadyExists, DigestMismatch, StorageError
from scigate.storage_backends.location import Location

from ..actor import Actor
from ..db.paging import cursor
from ..policy import check_storage, check_writable, owner_seen
from ..problems import Problem, conflict
from ..resources import FolderToSend, FolderUpload, Leg, Overwrite, Page, Submitted, Upload, UploadState
from ..storages import Storages
from ..transfers.store import TransferStore
from . import put, rows
from .accepting import Wanted
from .active import Preempted, Turn, Turns
from .appending import check, check_digests, too_large
from .concatenation import check_promises
from .creation import file_location, fingerprint, plan, plan_folder, plan_put
from .flowing import Flow, flow
from .hindrances import cause_told
from .model import Append, Kind, NewUpload, UploadStatus
from .recovery import Boot, is_unsettled, recover, recover_all
from .staging import StagingFull
from .watching import Watch
from .writer import Reception, Writer

LOOK_TIMEOUT: Final = timedelta(seconds=3)  # how long the creation of an upload waits for a look at its destination
LOOKERS: Final = 4  # such looks at once
LIST_FAILED: Final = "/api/v1/uploads?state=FAILED"


class Uploads:
    """The use cases of uploads. Every method may block and may be called from many threads; refusals are ``Problem``
    or ``StorageError``."""

    def __init__(self, around: Reception, storages: Storages, transfers: TransferStore, *, page_max: int) -> None:
        self._around, self._store, self._storages, self._transfers = around, around.store, storages, transfers
        self._page_max = page_max
        self._turns = Turns()
        self._sweeping = threading.Lock()
        self._lookers = ThreadPoolExecutor(LOOKERS, thread_name_prefix="look")
        self._watch = Watch(self._store, self._turns.busy, self._remove)

    @property
    def largest(self) -> int:
        """Bytes of the longest upload that is taken."""
        return self._around.largest

    def _refuse_existing(self, destination: Location) -> None:
        """Tell now rather than when all bytes are here; a storage that cannot tell soon is asked again then."""
        asked = self._lookers.submit(lambda: self._storages.get(destination.storage).backend.stat(destination.path))
        try:
            entry = asked.result(LOOK_TIMEOUT.total_seconds())
        except (StorageError, TimeoutError):
            asked.cancel()
            return
        if entry.kind is EntryKind.FILE:
            raise conflict("already-exists", f"The destination exists already: {destination}.", AlreadyExists.next_step)

    def _longest_of(self, actor: Actor, new: NewUpload) -> int:
        """The same for this one: when its bytes need not be here together it may be longer than our disk."""
        waits = new.kind is not Kind.WHOLE or new.digests or new.not_before is not None
        if waits or new.destination is None or not new.length:
            return self.largest
        storage = file_location(new.destination).storage
        self._check_writable(actor, storage)
        limits = self._storages.get(storage).limits
        flows = flow(self.largest, limits, new.length) is not None
        return max(limits.largest or 0, self.largest) if flows else self.largest

    # --- create --------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, new: NewUpload) -> UploadStatus:
        """A new upload; from the answer on it is there, and so is its transfer (but a partial one has none).

        ``Problem`` 404 for a storage that is not the actor's, 403 for one that is read-only, 413, 422, 429; for parts
        404, 409 or 410. The same Idempotency-Key gives the same upload."""
        planned = plan(new, self._longest_of(actor, new))
        if planned.destination is not None:
            self._check_writable(actor, planned.destination.storage)
        if new.kind is Kind.FINAL:
            check_promises(self._around.staging, new.parts, new.digests)
        wanted = Wanted([planned], fingerprint(new), new.key, new.overwrite, new.label, not_before=new.not_before,
                        deadline=new.deadline)  # fmt: skip
        is_only_new = new.kind is Kind.WHOLE and new.overwrite is Overwrite.FAIL
        if is_only_new and planned.destination and not self._store.is_known(actor.id, new.key, wanted.fingerprint):
            self._refuse_existing(planned.destination)
        accepted = self._store.create(actor.id, wanted)
        return self._around.status(self._store.get(accepted.upload, None))

    def create_folder(self, actor: Actor, folder: FolderToSend, key: str | None) -> FolderUpload:
        """An upload for each file of a manifest, all under one transfer; all of them or none. ``Problem`` 422 points
        at the files that cannot be taken."""
        planned = plan_folder(folder, self.largest)
        if folder.not_before is not None and (whole := sum(plan.length or 0 for plan in planned)) > self.largest:
            raise too_large(whole, self.largest)  # it stays here until its time
        storage = file_location(str(planned[0].destination)).storage
        self._check_writable(actor, storage)
        wanted = Wanted(planned, fingerprint(folder), key, folder.overwrite, folder.label, folder.verify,
                        folder.priority, folder.not_before, folder.deadline)  # fmt: skip
        accepted = self._store.create(actor.id, wanted)
        transfer, found = self._store.of_transfer(accepted.upload)
        uploads = [self._view(row) for row in found]
        return FolderUpload(transfer=self._transfers.get(transfer, None), uploads=uploads, replayed=accepted.replayed)

    # --- look ----------------------------------------------------------------------------------------------------

    def status(self, actor: Actor, id: str) -> UploadStatus:
        """How much of it is durable. A request that still appends is ended first: its sender asks, so it is gone.
        ``Problem`` 404, 410, 423, 503."""
        row = self._mine(actor, id)
        if row.completed is None and row.kind != Kind.FINAL:
            row = self._undisturbed(id)
        rows.refuse_gone(row)
        return self._around.status(row)

    def show(self, actor: Actor, id: str) -> Upload:
        """An upload with both its legs, also one that has ended."""
        return self._view(self._store.get(id, owner_seen(actor)))

    def list(self, actor: Actor, *, state: UploadState | None = None, after: str | None, limit: int) -> Page[Upload]:
        """The actor's uploads (in that ``state``), newest first; an admin sees everybody's."""
        found, after = self._store.list(owner_seen(actor), state, cursor(after), min(limit, self._page_max))
        return Page(items=[self._view(row) for row in found], next=after)

    def hint_at_failed(self, actor: Actor) -> str:
        """What frees room: how many bytes the actor's own failed uploads hold, as words for a next step."""
        names = self._store.failed(actor.id)
        held, of_puts = (sum(map(self._around.staging.share, names[is_put])) for is_put in (False, True))
        yours = f"your own hold {held} bytes of it" if held else "but none of yours do"
        return (
            f"Uploads that have failed hold room too, {yours}: 'scigate uploads --all' or GET {LIST_FAILED} shows "
            "them, 'scigate uploads cancel ID' or DELETE /api/v1/uploads/ID frees what one holds."
            + (f" Your failed PUTs hold {of_puts} bytes, until their transfers are retried." if of_puts else "")
        )

    # --- append and end ------------------------------------------------------------------------------------------

    def open(self, actor: Actor, id: str, request: Append) -> Writer:
        """Begin to append; a request that still appends is ended first. The writer has to be ended in any case, by
        ``finish`` or ``abort``. ``Problem`` 400, 403, 404, 409 (``OffsetMismatch``), 410, 413, 423, 503."""
        rows.refuse_gone(self._mine(actor, id))
        turn = self._take(id)

        def over() -> None:
            self._watch.end(id, writer)
            self._turns.leave(id, turn)

        try:
            row = self._settled(id)
            flows = self._flow(row)
            writer = Writer(self._around, self._fitting(row, request, flows), request, over, flows)
            self._watch.begin(id, writer)
            turn.attach(writer.preempt)
            return writer
        except Preempted:
            over()
            raise _locked() from None
        except BaseException:
            self._turns.leave(id, turn)
            raise

    def terminate(self, actor: Actor, id: str) -> None:
        """End an upload: its transfer's file is cancelled, its bytes are removed. One that is DONE stays DONE.
        ``Problem`` 404, 409, 410, 423, 503."""
        row = self._mine(actor, id)
        rows.refuse_gone(row)
        turn = self._take(id)
        try:
            self._store.terminate(row)
            after = self._store.get(id, None)
            if rows.is_over(after):
                self._remove([after])
            else:
                self._watch.ending(id)
        finally:
            self._turns.leave(id, turn)

    # --- one request ---------------------------------------------------------------------------------------------

    def begin_put(
        self, actor: Actor, storage: str, path: str, size: int | None, digests: dict[str, str], *,
        modified: datetime | None = None,
    ) -> put.PutUpload:  # fmt: skip
        """Room for a file that comes in one request; ``modified`` is when the sender's file was changed."""
        self._check_writable(actor, storage)
        file_location(f"{storage}:/{path}")
        try:
            return put.begin(self._around.staging, size, digests, None if modified is None else modified.timestamp())
        except StagingFull as full:
            full.next_step = f"{full.next_step} {self.hint_at_failed(actor)}"
            raise

    def finish_put(
        self, actor: Actor, upload: put.PutUpload, storage: str, path: str, *, overwrite: Overwrite, key: str | None,
        label: str | None = None, times: tuple[datetime | None, datetime | None] = (None, None),
    ) -> Submitted:  # fmt: skip
        """Make what arrived durable and submit its transfer, to begin and to end at these ``times``; ends the request
        in any case."""
        try:
            upload.finish()
            destination = Location(storage, path)
            content = [str(destination), overwrite.value, str(upload.length), *sorted(upload.digests.items())]
            content += [repr(times)] if any(times) else []
            digest = hashlib.sha256(repr(content).encode("utf-8", "surrogateescape")).hexdigest()
            planned = plan_put(upload.name, destination, upload.length, upload.modified, upload.digests["crc64nvme"])
            wanted = Wanted([planned], digest, key, overwrite, label, not_before=times[0], deadline=times[1])
            accepted = self._store.create(actor.id, wanted)
            transfer, _ = self._store.of_transfer(accepted.upload)
            return Submitted(transfer=self._transfers.get(transfer, None), replayed=accepted.replayed)
        except DigestMismatch as error:
            raise Problem(422, "digest-mismatch", error.message, next_step=error.next_step) from None
        finally:
            upload.close()

    # --- housekeeping --------------------------------------------------------------------------------------------

    def prepare(self, boot: Boot) -> None:
        """At the start: make the disk fit the records."""
        self._around.staging.prepare()
        recover_all(self._around, boot)
        self._store.give_time()

    def sweep(self) -> None:
        """Expire what nobody continues, and remove what has reached its storage or belongs to nobody."""
        with self._sweeping:
            busy = self._turns.busy()
            while self._store.expire(busy):
                pass
            while over := self._store.over(busy):
                self._remove(over)
            self._around.staging.sweep(self._store.kept)

    def watch(self) -> None:
        """Tell senders whose uploads have ended meanwhile; called in every round of the engine."""
        self._watch.look()

    def close(self) -> None:
        """The gateway stops: what senders have sent so far is recorded, and they are cut off."""
        self._turns.preempt_all()
        self._around.pool.shutdown(wait=True)
        self._lookers.shutdown(wait=False, cancel_futures=True)

    # --- shared --------------------------------------------------------------------------------------------------

    def _mine(self, actor: Actor, id: str) -> Any:
        row = self._store.get(id, owner_seen(actor))
        if row.ended is not None:
            return row
        rows.refuse_elsewhere(row, self._store.gateway)
        if row.end is None and row.expires is not None and row.expires <= time.time():  # no sweep has come by yet
            self._store.expire(self._turns.busy(), only=id)
            return self._store.get(id, None)
        return row

    def _take(self, id: str) -> Turn:
        try:
            return self._turns.take(id)
        except Preempted:
            raise _locked() from None

    def _undisturbed(self, id: str) -> Any:
        """The row when nobody appends any more, or, if a newer request has come already, as it was when it did."""
        try:
            turn = self._turns.take(id)
        except Preempted:
            return self._store.get(id, None)
        try:
            return self._settled(id)
        finally:
            self._turns.leave(id, turn)

    def _settled(self, id: str) -> Any:
        """The row, when the file is what it says."""
        row = self._store.get(id, None)
        if not is_unsettled(self._around, row):
            return row
        recover(self._around, row)
        return self._store.get(id, None)

    def _fitting(self, row: Any, request: Append, flows: Flow | None) -> Any:
        """The row, if the request fits it; a length that is said now is recorded."""
        rows.refuse_gone(row)
        check(self._around.status(row), request, flows.at_once if flows else None)
        if flows:
            check_digests(request)
        rows.refuse_failed(row)
        if request.length is None or row.length is not None:
            return row
        self._store.announce(row, request.length)
        return self._store.get(row.id, None)

    def _flow(self, row: Any) -> Flow | None:
        """How the bytes of an upload move on while others come; None if they do not."""
        if row.kind != Kind.WHOLE or row.promised or row.starts is not None or not row.length:
            return None
        try:
            limits = self._storages.get(row.destination_storage).limits
        except StorageError:  # it is not there any more, or not yet again
            return None
        return flow(self.largest, limits, row.length)

    def _remove(self, over: Sequence[Any]) -> None:
        for row in over:
            for name in (row.id, *rows.parts_of(row)):
                self._around.staging.remove(name)
                self._around.arrivals.ended(name)
        self._store.ended(over)

    def _check_writable(self, actor: Actor, name: str) -> None:
        check_storage(actor, name, self._storages.section(name), write=True)
        check_writable(name, read_only=self._storages.get(name).limits.read_only)

    def _view(self, row: Any) -> Upload:
        here = max(row.received, self._around.arrivals.known(row.id))
        held = self._held(row)
        arrived = Leg(bytes=here, rate=self._around.rates.rate(row.seq))
        if row.file is None:
            return rows.view(row, arrived, Leg(bytes=0, rate=None), held, None)
        progress = self._transfers.progress
        moving = progress.moving_file(row.file)
        bytes_stored = min(row.bytes_done + moving, here)
        stored = Leg(bytes=bytes_stored, rate=progress.rate(row.transfer_seq) if moving else None)
        hindrance, waits = self._around.arrivals.hindrance(row.id), progress.waits_long(row.file)
        return rows.view(row, arrived, stored, held, cause_told(row, rows.cause_of(row), hindrance, waits=waits))

    def _held(self, row: Any) -> int | None:
        if row.gateway != self._store.gateway:
            return None
        return sum(map(self._around.staging.share, (row.id, *rows.parts_of(row))))


def _locked() -> Problem:
    return Problem(423, "upload-locked", "A newer request has taken this upload over.", retriable=True,
                   next_step="Ask for the offset, and send one request at a time.")  # fmt: skip
