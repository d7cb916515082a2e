"""Mistakes put into a gateway on purpose, to see that the checker finds them. Only ``process.py`` applies them.

Each is one that somebody could make; some are slowed down, so that a kill or a cancel falls into them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any, Final, NoReturn

from . import mutants_storage


def acknowledged_before_commit() -> None:
    """The answer goes out before the transfer is stored."""
    from scigate.gateway_api.resources import Submitted, Transfer
    from scigate.gateway_api.transfers import intake
    from scigate.gateway_api.transfers.store import Accepted, TransferStore

    original, get, new_id, lock = TransferStore.begin_submit, TransferStore.get, intake.new_id, threading.Lock()
    pending: set[str] = set()

    def begin_submit(self: TransferStore, *arguments: Any, **more: Any) -> Future[Accepted]:
        chosen, accepted = new_id(), Future[Accepted]()

        def later() -> None:
            time.sleep(0.7)
            with lock:
                intake.new_id = lambda: chosen
                original(self, *arguments, **more).result()
            pending.discard(chosen)

        pending.add(chosen)
        threading.Thread(target=later, daemon=True).start()
        accepted.set_result(Accepted(chosen, replayed=False))
        return accepted

    def shown(self: TransferStore, accepted: Accepted) -> Submitted:
        return Submitted(transfer=Transfer.model_construct(id=accepted.row), replayed=False)

    def look(self: TransferStore, id: str, owner: str | None) -> Transfer:
        return Transfer.model_construct(id=id) if id in pending else get(self, id, owner)

    TransferStore.begin_submit, TransferStore.shown = begin_submit, shown  # type: ignore[method-assign]
    TransferStore.get = look  # type: ignore[method-assign]


def drafts_only_forgotten() -> None:
    """What an earlier attempt left is struck off the records, but not removed."""
    from scigate.gateway_api.transfers import batch, engine, mover, reconcile

    def abandon(runtime: Any, file: int, destination: Any, path: str, drafts: Sequence[Any]) -> None:
        if drafts:
            runtime.work.forget_drafts([(file, old.epoch) for old in drafts])

    for module in (batch, engine, mover, reconcile):
        module.abandon = abandon  # type: ignore[attr-defined]


def bits_flip() -> None:
    """Not a mutant but bad luck: every fifth block that is written has a flipped bit. The engine must survive it."""
    from scigate.gateway_api import storages
    from scigate.storage_backends.layers import Fault, compose

    flips = [Fault("write", every=5, flip=offset) for offset in (0, 6_000_000)]
    storages.compose = lambda *arguments, **more: compose(*arguments, **more, faults=flips)  # type: ignore[attr-defined]


def copies_in_parts() -> None:
    """Not a mutant either: objects of a few megabytes are copied inside S3 as those above 5 GiB are, only slower."""
    from scigate.storage_backends import s3_copy

    in_parts, copy_part = s3_copy.CopyJob.in_parts, s3_copy.CopyJob._copy_part

    def slowly(self: Any, *arguments: Any) -> Any:
        time.sleep(0.1)
        return copy_part(self, *arguments)

    s3_copy.ONE_REQUEST_MAX = 6_000_000  # type: ignore[misc]
    s3_copy.CopyJob._copy_part = slowly  # type: ignore[method-assign]
    s3_copy.CopyJob.in_parts = lambda self, progress: in_parts(self, progress, 5 << 20)  # type: ignore[method-assign]


def verification_skipped() -> None:
    """With flipping bits: the draft is not read back before it is published."""
    from scigate.gateway_api.transfers import batch, mover

    bits_flip()
    mover._damaged = lambda *_: []
    batch._Batch._verify = lambda _, item: item  # type: ignore[method-assign]
    for module in (batch, mover):
        module.prove = lambda *_, **__: mover.Proof.A  # type: ignore[attr-defined]


def keys_forgotten() -> None:
    """An Idempotency-Key is stored with its transfer, but nobody looks it up."""
    from scigate.gateway_api.transfers import intake

    intake.replay = lambda *_: None
    intake.remember = lambda *_: None


def existence_trusted() -> None:
    """After a crash, something at the destination is taken for what was being copied there."""
    from scigate.gateway_api.transfers import batch, mover
    from scigate.gateway_api.transfers.ledger import Move
    from scigate.gateway_api.transfers.looking import existing_entry
    from scigate.gateway_api.transfers.machine import What

    def recovered(runtime: Any, task: Any, source: Any, path: str, destination: Any) -> Move | None:
        there = existing_entry(task, destination) if task.old_drafts else None
        values = {"proof": mover.Proof.A, "size": there.size, "bytes_done": there.size} if there else {}
        return Move(task.held, What.RECOVERED, values) if there else None

    for module in (batch, mover):
        module.recovered = recovered  # type: ignore[attr-defined]


def published_in_place() -> None:
    """A POSIX draft is copied to its name instead of renamed."""
    import os

    from scigate.storage_backends import posix_draft

    def rename(source_folder: int, source: bytes, folder: int, name: bytes, *, if_absent: bool) -> None:
        with (
            open(os.open(source, os.O_RDONLY, dir_fd=source_folder), "rb") as old,
            open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=folder), "wb") as new,
        ):
            while data := old.read(1 << 20):
                new.write(data)
                time.sleep(0.005)
        os.unlink(source, dir_fd=source_folder)

    posix_draft.rename = rename


def published_before_recorded() -> None:
    """PUBLISHING is written down after the object has its name."""
    from scigate.gateway_api.transfers.work import Work
    from scigate.storage_backends import posix_draft

    publishing, publish = Work.publishing, posix_draft.PosixDraft.publish
    drafts: dict[str | None, Callable[[], Any]] = {}

    def seal(self: Any) -> None:
        original_seal(self)
        drafts[self.identity] = lambda: publish(self, self.written, if_absent=False, digests={})

    def write(self: Any, *arguments: Any) -> Any:
        receipt = original_write(self, *arguments)
        self.written = [*getattr(self, "written", ()), receipt]
        return receipt

    def first(self: Work, moves: Sequence[Any], identities: Sequence[str | None]) -> Any:
        made = {identity: drafts[identity]() for identity in identities if identity in drafts}
        published.update(made)
        time.sleep(0.8)
        return publishing(self, moves, identities)

    published: dict[str | None, Any] = {}
    original_seal, original_write = posix_draft.PosixDraft.seal, posix_draft.PosixDraft.write
    posix_draft.PosixDraft.seal, posix_draft.PosixDraft.write = seal, write  # type: ignore[method-assign]
    posix_draft.PosixDraft.publish = lambda self, *_, **__: published[self.identity]  # type: ignore[method-assign]
    Work.publishing = first  # type: ignore[method-assign]


def bytes_uncounted() -> None:
    """The bytes of recorded blocks do not reach the transfer's counter."""
    from scigate.gateway_api.transfers import work

    work.change_counters = lambda *_, **__: None


def epochs_unchecked() -> None:
    """A worker that was taken for dead goes on as if nothing had happened: neither its lease nor its epoch stops it."""
    from scigate.gateway_api.db.bulk import BulkStatement
    from scigate.gateway_api.db.schema import file
    from scigate.gateway_api.transfers import ledger, work
    from scigate.gateway_api.transfers.lease import Lease
    from sqlalchemy import bindparam, update

    @cache
    def file_update(columns: tuple[str, ...]) -> BulkStatement:
        values = {name: bindparam(f"new_{name}") for name in (*columns, "state", "epoch")}
        return BulkStatement(update(file).where(file.c.seq == bindparam("old_seq")).values(values))

    ledger._file_update = file_update
    work._still = lambda connection, held: ledger.read_held(connection, file.c.seq == held.seq, limit=1)[0]
    Lease.is_held = lambda _: True  # type: ignore[method-assign]


def told_before_recorded() -> None:
    """An offset is told while its record is still on its way to the database."""
    from types import SimpleNamespace

    from scigate.gateway_api.uploads.store import Stored, UploadStore

    record = UploadStore.record

    def later(self: UploadStore, row: Any, stored: Stored) -> Any:
        if stored.complete:
            return record(self, row, stored)
        threading.Timer(0.7, record, (self, row, stored)).start()
        return SimpleNamespace(**{**row._mapping, "received": stored.offset, "crc64nvme": stored.crc64nvme})

    UploadStore.record = later  # type: ignore[method-assign]


def checksums_unchecked() -> None:
    """What a piece of an upload is promised to be is not compared."""
    from scigate.gateway_api.uploads.digesting import Expected

    Expected.matches = lambda _: True  # type: ignore[method-assign]


def expired_early() -> None:
    """An upload is given up well before the time that its sender was told."""
    from dataclasses import replace
    from datetime import timedelta

    from scigate.gateway_api.uploads import rows
    from scigate.gateway_api.uploads.model import UploadStatus

    status_of = rows.status_of

    def later(row: Any, largest: int) -> UploadStatus:
        status = status_of(row, largest)
        return replace(status, expires=status.expires and status.expires + timedelta(seconds=12))

    rows.status_of = later


def staged_bytes_kept() -> None:
    """What has reached its storage is struck off the records, but stays on the gateway's disk."""
    from scigate.gateway_api.uploads.staging import Staging

    Staging.remove = lambda *_: None  # type: ignore[method-assign]


def ended_but_not_cancelled() -> None:
    """An upload is ended, but its file goes on."""
    from scigate.gateway_api.resources import FileState
    from scigate.gateway_api.transfers import receiving

    receiving.cancel = lambda *_: FileState.CANCELLED


def everything_refused() -> None:
    """Nothing is accepted, and so nothing is lost: a run that only looks at what was accepted sees no harm."""
    from scigate.gateway_api.transfers.store import TransferStore

    def begin_submit(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("a mistake")

    TransferStore.begin_submit = begin_submit  # type: ignore[method-assign]


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    made.__name__: made
    for made in (
        acknowledged_before_commit, drafts_only_forgotten, bits_flip, copies_in_parts, verification_skipped,
        keys_forgotten, existence_trusted, published_in_place, published_before_recorded, bytes_uncounted,
        epochs_unchecked, told_before_recorded, checksums_unchecked, expired_early, staged_bytes_kept,
        ended_but_not_cancelled, everything_refused, *mutants_storage.MUTANTS,
    )
}  # fmt: skip
