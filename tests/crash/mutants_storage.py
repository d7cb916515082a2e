"""More mistakes put into a gateway on purpose: about what is durable, what is compared, and who may write where.

See ``mutants``, which names them all.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from types import SimpleNamespace
from typing import Any


def fsync_removed() -> None:
    """A large POSIX file gets its name while its bytes are only in memory."""
    from scigate.storage_backends import posix_data, posix_draft

    posix_draft.PosixDraft._sync = lambda *_: None  # type: ignore[method-assign]
    for module in (posix_data, posix_draft):  # to drop pages from the cache writes them as well
        module.forget_cache = lambda *_: None  # type: ignore[attr-defined]


def folder_sync_removed() -> None:
    """The bytes are durable, but not the name."""
    from scigate.storage_backends import posix, posix_draft, posix_paths

    for module in (posix, posix_draft, posix_paths):
        if hasattr(module, "sync_folder"):
            module.sync_folder = lambda *_: None


def batches_unsynced() -> None:
    """Many small files are told as stored before anything has made them durable."""
    from scigate.storage_backends import posix

    posix.PosixBackend._sync = lambda _: None  # type: ignore[method-assign]


def synchronous_normal() -> None:
    """SQLite answers before a commit is on the medium, as it does unless it is told not to."""
    import sqlite3
    from sqlite3 import dbapi2

    connect = dbapi2.connect

    class Hasty(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *values)

    dbapi2.connect = lambda *arguments, **more: connect(*arguments, **{**more, "factory": Hasty})


def replaced_where_refused() -> None:
    """RENAME_NOREPLACE is forgotten: what is at the destination is replaced, although it must not be."""
    import os

    from scigate.storage_backends import posix_draft

    def rename(source_folder: int, source: bytes, folder: int, name: bytes, *, if_absent: bool) -> None:
        os.rename(source, name, src_dir_fd=source_folder, dst_dir_fd=folder)

    posix_draft.rename = rename


def intent_after_effect() -> None:
    """What will be created at a storage is written down a moment after it may have been created."""
    from scigate.gateway_api.transfers import work

    intents, claim = work._INTENTS, work.Work.claim

    def claim_and_note(self: Any, *arguments: Any) -> Any:
        tasks = claim(self, *arguments)
        rows = [work._intent(task, time.time()) for task in tasks]
        if rows:
            threading.Timer(1.0, self._database.write, (lambda connection: intents.run(connection, rows),)).start()
        return tasks

    work._INTENTS = SimpleNamespace(run=lambda *_: None)  # type: ignore[misc,assignment]
    work.Work.claim = claim_and_note  # type: ignore[method-assign]


def storage_unfenced() -> None:
    """Who takes a file over leaves the draft of the other one alone, and nobody looks whether a draft is his own."""
    from scigate.storage_backends import posix, posix_draft

    posix.PosixBackend.abandon = lambda *_, **__: None  # type: ignore[method-assign]
    posix_draft.PosixDraft._require_mine = lambda *_: None  # type: ignore[method-assign]


def guard_removed() -> None:
    """A change of state does not ask whether the state is still the one that it was thought of for."""
    from scigate.gateway_api.db.bulk import BulkStatement
    from scigate.gateway_api.db.schema import file
    from scigate.gateway_api.transfers import ledger, work
    from sqlalchemy import bindparam, update

    @cache
    def file_update(columns: tuple[str, ...]) -> BulkStatement:
        where = [file.c[name] == bindparam(f"old_{name}") for name in ("seq", "epoch")]
        values = {name: bindparam(f"new_{name}") for name in (*columns, "state", "epoch")}
        return BulkStatement(update(file).where(*where).values(values))

    ledger._file_update = file_update
    work._still = lambda connection, held: ledger.read_held(connection, file.c.seq == held.seq, limit=1)[0]


def digests_uncompared() -> None:
    """With flipping bits: blocks are read back, but what is read is not compared with what was sent."""
    from scigate.gateway_api import storages
    from scigate.gateway_api.transfers import copying
    from scigate.storage_backends.layers import Fault, compose

    flips = [Fault("write", every=2, flip=0)]
    storages.compose = lambda *arguments, **more: compose(*arguments, **more, faults=flips)  # type: ignore[attr-defined]
    copying.is_intact = lambda *_: True


def sources_slow() -> None:
    """Not a mutant but a slow disk: whoever changes a source while it is read finds the time to."""
    from scigate.storage_backends import posix

    buffers = posix.buffers

    def slowly(*arguments: Any) -> Any:
        for buffer in buffers(*arguments):
            time.sleep(0.03)
            yield buffer

    posix.buffers = slowly


def source_version_unchecked() -> None:
    """Nobody looks whether the source is still the same: not while it is read, and not at the end."""
    from scigate.gateway_api.transfers import mover
    from scigate.storage_backends import posix

    sources_slow()
    posix.require_version = lambda *_: None
    mover._unchanged_source = lambda _runtime, _route, entry: entry


def uploads_unaborted() -> None:
    """Multipart uploads that nobody will complete are not aborted."""
    from scigate.storage_backends.s3_control import ControlPlane

    ControlPlane.abort = lambda *_: None  # type: ignore[method-assign]


def locks_kept() -> None:
    """What tells others that a gateway has died is never cleared away."""
    import os
    from pathlib import Path

    from scigate.gateway_api.transfers import lease, reconcile

    class Keeping(type(Path())):  # type: ignore[misc]
        def unlink(self, missing_ok: bool = False) -> None:
            """Nothing."""

    reconcile.remove_stray_locks = lambda *_: None
    original = reconcile.Reconciler.__init__

    def begin(self: Any, database: Any, runtime: Any, folder: Path) -> None:
        original(self, database, runtime, Keeping(os.fspath(folder)))

    reconcile.Reconciler.__init__ = begin  # type: ignore[method-assign]
    assert lease.remove_stray_locks is not reconcile.remove_stray_locks


def offset_told_wrong() -> None:
    """More is told than has come."""
    from dataclasses import replace

    from scigate.gateway_api.uploads import rows
    from scigate.gateway_api.uploads.model import UploadStatus

    status_of = rows.status_of

    def boasting(row: Any, largest: int) -> UploadStatus:
        status = status_of(row, largest)
        grows = not status.complete and status.length is not None and status.offset + 5000 < status.length
        return replace(status, offset=status.offset + 5000) if grows else status

    rows.status_of = boasting


def causes_blurred() -> None:
    """A file fails, and only a human could say why."""
    from dataclasses import replace

    from scigate.gateway_api.transfers import looking
    from scigate.gateway_api.transfers.executors import local

    failure_of = looking.failure_of

    def blurred(error: Exception, failures: int) -> Any:
        failure = failure_of(error, failures)
        return replace(failure, cause=failure.cause.model_copy(update={"code": ""}))

    for module in (looking, local):
        if hasattr(module, "failure_of"):
            module.failure_of = blurred


def blocks_forgotten() -> None:
    """After a death a file is begun anew, though most of it is there."""
    from scigate.gateway_api.transfers import mover

    mover.adoptable = lambda *_: None


MUTANTS = (
    fsync_removed, folder_sync_removed, batches_unsynced, synchronous_normal, replaced_where_refused,
    intent_after_effect, storage_unfenced, guard_removed, digests_uncompared, sources_slow, source_version_unchecked,
    uploads_unaborted, locks_kept, offset_told_wrong, causes_blurred, blocks_forgotten,
)  # fmt: skip
