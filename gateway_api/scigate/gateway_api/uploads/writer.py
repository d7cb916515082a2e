"""One request that appends to an upload: what it has told as stored is there after any crash."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.digests import Running, start
from scigate.storage_backends.errors import StorageError

from ..db.database import DatabaseUnavailable
from ..problems import Problem
from ..resources import Cause
from ..transfers.progress import LiveProgress
from . import rows
from .active import PATIENCE, Preempted
from .appending import longest, too_long, too_much_at_once
from .arrivals import Arrivals
from .digesting import KEPT, Expected, Remembered, differing, not_as_promised
from .flowing import Flow
from .growing import GrowingFile
from .model import Append, Kind, UploadStatus
from .senders import Demand
from .staging import Staging, StagingFull, mark_unchecked, unchecked
from .store import Stored, UploadStore

__all__ = ["Preempted", "Reception", "Writer"]

CHECKPOINT: Final = 256 * MiB
CHECKPOINT_AFTER: Final = timedelta(seconds=10)
"""After so many bytes, or so long, what came is made durable and recorded beside the stream: its end then waits for
little, and a power cut takes no more."""

GRACE: Final = timedelta(seconds=2)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reception:
    """The surroundings of writers. ``room`` is called, from anywhere, when the quota keeps one waiting."""

    store: UploadStore
    staging: Staging
    arrivals: Arrivals
    rates: LiveProgress
    digests: Remembered
    pool: ThreadPoolExecutor
    room: Callable[[], None]

    @property
    def largest(self) -> int:
        """Bytes of the longest upload that is taken."""
        return self.staging.quota

    def status(self, row: Any) -> UploadStatus:
        return rows.status_of(row, max(self.largest, row.length or 0))


class Writer:
    """One request that appends. Its methods are called one after the other, ``has_room`` also from the event loop;
    a newer request ends it from its own thread."""

    on_preempt: Callable[[], None] = staticmethod(lambda: None)
    """Called from another thread, at most once, when a newer request has taken over: close the connection, hand in
    what is in memory, and ``abort``, all within ``GRACE``; after that the newer request does it."""

    def __init__(
        self, around: Reception, row: Any, request: Append, over: Callable[[], None], flow: Flow | None = None
    ) -> None:
        self._around, self._row, self._over = around, row, over
        self._flow = None if flow is None else flow.of(request)
        self._refusal: Problem | None = None
        self._status = around.status(row)
        self._start, self._ends, self._said = row.received, request.ends, request.whole
        self._longest = longest(self._status, request)
        self._checksum = None if request.checksum is None else Expected(*request.checksum)
        self._file: GrowingFile | None = None
        self._whole: dict[str, Running] | None = None
        self._lock = threading.Lock()
        self._is_over = self._is_preempted = False
        self._is_trusted = True
        self._has_left = threading.Event()
        self._room_lock = threading.Lock()
        self._room = self._taken = 0  # bytes that are reserved and not written; reserved at all
        self._checkpoint: Future[None] | None = None
        self._checked_at, self._checked_when = row.received, time.monotonic()

    @property
    def offset(self) -> int:
        """Where the upload ends now; bytes of this request are not durable before ``finish`` or ``abort``."""
        return self._start if self._file is None else self._file.position

    def has_room(self, count: int) -> bool:
        """Whether the next ``count`` bytes fit into the quota; if so, their room is reserved. Never blocks."""
        with self._room_lock:
            more = count - self._room
            if self._is_over or self._refusal is not None or more <= 0:
                return True
            if self._around.staging.take(self._row.id, more, self._demand(self._start + self._taken)):
                self._room, self._taken = count, self._taken + more
                return True
        self._around.arrivals.lacks_room(self._row.id)
        self._around.room()
        self._record_soon()
        return False

    def looked(self, held_up: bool) -> None:
        """Whether the sender has more to give than was taken: to be told with every piece. Never blocks."""
        if not self._is_over:
            self._around.arrivals.looked(self._row.id, held_up)

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append. Raises ``Preempted``, ``NoSpace`` (``StagingFull`` if it may pass), ``Problem`` 413 for more than
        was announced, 409 or 410 when the upload has ended meanwhile; then nothing of ``buffers`` counts."""
        count = sum(map(len, buffers))
        with self._lock:
            self._check_mine()
            if self._refusal is not None:
                raise self._refusal
            self._check_disk()
            self._check_length(self.offset + count)
            if not self.has_room(count):
                raise StagingFull("the room for uploads on their way is full now")
            self._append(buffers, count)

    def finish(self) -> UploadStatus:
        """The body has ended as it should: compare, make durable, record. ``Problem`` 460 when the bytes of this
        request have not the promised checksum (they are dropped), 422 when the whole is not what was promised (the
        upload has failed then), 410 when it has ended meanwhile. Raises ``Preempted``."""
        with self._lock:
            self._check_mine()
            try:
                self._compare()
                status = self._store(finished=True)
                self.looked(True)  # its sender has waited for our disk
                return status
            finally:
                self._leave()

    def abort(self) -> UploadStatus:
        """The body was broken off: keep what came, unless a checksum was promised for all of it. Calling it again, or
        after anything else, changes nothing."""
        with self._lock:
            self._break_off()
            return self._status

    def refuse(self, problem: Problem) -> None:
        """The upload has ended while its sender sends, who is told at the next piece. From any thread."""
        self._refusal = problem

    def preempt(self) -> None:
        """A newer request has come: end this one from its thread, keeping what came."""
        if self._is_over:
            return
        self.on_preempt()
        self._has_left.wait(GRACE.total_seconds())
        self._is_preempted = True
        if not self._lock.acquire(timeout=PATIENCE.total_seconds()):
            return  # the disk hangs: the newer request is told to come back
        try:
            self._break_off()
        except (StorageError, DatabaseUnavailable) as error:
            log.warning("upload %s: what came last is not recorded yet: %s", self._row.id, error)
        finally:
            self._lock.release()

    def recover(self, *, trusted: bool) -> None:
        """Instead of a request: take over what a crash left in the file behind the recorded offset. It is kept if it is
        ``trusted`` (only the process died, not the machine) and no checksum was promised for it."""
        with self._lock:
            try:
                file = self._opened()
                if trusted and not unchecked(self._around.staging, self._row.id).exists():
                    file.catch_up()
                    self._whole = None
                self._store(finished=False)
                unchecked(self._around.staging, self._row.id).unlink(missing_ok=True)
            finally:
                self._taken = self.offset - self._start
                self._leave()
                self._around.staging.measure(self._row.id)

    def _break_off(self) -> None:
        if self._is_over:
            return
        try:
            if self._checksum is not None:
                self._drop()
            self._store(finished=False)
        except Problem as problem:  # it has ended, or has failed: nobody is there to be told
            log.info("upload %s: %s", self._row.id, problem)
        finally:
            self._leave()

    # --- bytes ---------------------------------------------------------------------------------------------------

    def _check_length(self, end: int) -> None:
        if end > self._longest:
            raise too_long(self._longest)
        at_once = None if self._flow is None else self._flow.at_once
        if at_once is not None and end - self._start > at_once:
            raise too_much_at_once(at_once)

    def _check_disk(self) -> None:
        """Raise what went wrong beside the stream, before anything is appended behind it."""
        if self._checkpoint is not None and self._checkpoint.done():
            self._checkpoint.result()

    def _demand(self, until: int) -> Demand:
        """What is needed when there is room for the first ``until`` bytes."""
        length = until if self._status.complete else self._row.length
        rest = None if length is None else length - until
        most = None if self._flow is None else self._flow.most
        return Demand(rest, most, returns=self._row.kind != Kind.PARTIAL and self._row.starts is None)

    def _append(self, buffers: Sequence[bytes], count: int) -> None:
        file = self._opened()
        file.append(buffers)
        with self._room_lock:
            self._room -= count
        self._digest(buffers)
        self._around.rates.passed(self._row.seq, self._row.seq, count)
        if self._checksum is None:
            self._around.arrivals.grown(self._row.id, file.position)
        waited = time.monotonic() - self._checked_when
        if file.position - self._checked_at >= CHECKPOINT or waited >= CHECKPOINT_AFTER.total_seconds():
            self._begin_checkpoint(file)

    def _digest(self, buffers: Sequence[bytes]) -> None:
        for buffer in buffers:
            for digest in (self._whole or {}).values():
                digest.update(buffer)
            if self._checksum is not None:
                self._checksum.update(buffer)

    def _opened(self) -> GrowingFile:
        if self._file is None:
            around, row = self._around, self._row
            if self._checksum is not None:
                mark_unchecked(around.staging, row.id)
            self._file = GrowingFile(around.staging.path(row.id), self._start, int(row.crc64nvme, 16))
            if promised := rows.promised_of(row):
                self._whole = around.digests.take(row.id, self._start) if self._start else start(promised)
        return self._file

    def _record_soon(self) -> None:
        """The quota presses: what is recorded as durable may make way as soon as it has reached its storage."""
        if self._lock.acquire(blocking=False):  # else somebody writes or ends it now
            try:
                running = self._checkpoint is not None and not self._checkpoint.done()
                if self._file is not None and self._file.position > self._checked_at and not (self._is_over or running):
                    self._begin_checkpoint(self._file)
            finally:
                self._lock.release()

    def _begin_checkpoint(self, file: GrowingFile) -> None:
        if self._checkpoint is not None and (not self._checkpoint.done() or self._checkpoint.exception()):
            return  # the disk is slower than the sender, whom the page cache makes wait; or it has failed
        self._checked_at, self._checked_when = file.position, time.monotonic()
        stored = Stored(file.position, f"{file.crc:016x}")
        self._checkpoint = self._around.pool.submit(self._run_checkpoint, file, stored)

    def _run_checkpoint(self, file: GrowingFile, stored: Stored) -> None:
        file.sync()
        if self._checksum is not None:
            return
        try:
            self._around.store.record(self._row, stored)
        except DatabaseUnavailable as error:
            log.warning("upload %s: the next checkpoint records what came: %s", self._row.id, error)

    # --- the end -------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        if self._checksum is None or self._checksum.matches():
            return
        self._drop()
        if self._file is not None:
            self._settle(self._file)
        raise Problem(460, "checksum-mismatch", "The bytes of this request have not the checksum that was promised.",
                      detail=f"Their {self._checksum.algorithm} is another one; they were dropped.",
                      next_step=f"Send them again from offset {self._start}.", retriable=True)  # fmt: skip

    def _drop(self) -> None:
        if self._file is not None:
            self._file.drop(self._start, int(self._row.crc64nvme, 16))
            self._whole = None

    def _store(self, *, finished: bool) -> UploadStatus:
        """Make durable what came, and record it."""
        if self._file is not None:
            self._settle(self._file)
        complete = self._completes(finished)
        if self.offset == self._start and not complete:
            return self._status
        if complete:
            self._check_promises()
        crc = int(self._row.crc64nvme, 16) if self._file is None else self._file.crc
        stored = Stored(self.offset, f"{crc:016x}", complete, cut=not finished and not self._is_preempted)
        self._status = self._around.status(self._around.store.record(self._row, stored))
        self._around.arrivals.grown(self._row.id, self.offset, complete)
        return self._status

    def _settle(self, file: GrowingFile) -> None:
        """An error of the disk is told only once, to whoever hears it first (fsync(2)): what is in the file then is
        not trusted any more."""
        try:
            if self._checkpoint is not None:
                self._checkpoint.result()
            file.settle()
        except StorageError:
            self._is_trusted = False
            mark_unchecked(self._around.staging, self._row.id)
            raise

    def _completes(self, finished: bool) -> bool:
        if self._status.complete:
            return False
        length = self._row.length
        if self._ends is None:
            return length is not None and self.offset == length
        return finished and self._ends and length in (None, self.offset)

    def _check_promises(self) -> None:
        promises = [digests for digests in (rows.promised_of(self._row), self._said) if digests]
        found = self._digests({name for promised in promises for name in promised})
        for promised in promises:
            if (name := differing(promised, found)) is not None:
                problem = not_as_promised(name, promised[name], found[name])
                cause = Cause(code=problem.code, message=problem.title, retriable=False, next_step=problem.next_step)
                self._around.store.refuse(self._row, cause)
                raise problem

    def _digests(self, names: set[str]) -> dict[str, str]:
        """Of the whole. What is asked for only now, or was lost at a restart or with dropped bytes, is computed by
        reading."""
        if not names:
            return {}
        file, running = self._opened(), self._whole or {}
        found = {KEPT: f"{file.crc:016x}", **{name: digest.hexdigest() for name, digest in running.items()}}
        if missing := start(names - found.keys()):
            for buffer in file.read(0):
                for digest in missing.values():
                    digest.update(buffer)
        return {**found, **{name: digest.hexdigest() for name, digest in missing.items()}}

    def _leave(self) -> None:
        with self._room_lock:
            self._is_over = True
            unused = self._taken - (self.offset - self._start)
            self._around.staging.leave(self._row.id, unused, self._demand(self.offset))
        try:
            if self._file is not None:
                self._leave_file(self._file)
        finally:
            self._around.rates.ended(self._row.seq)
            self._has_left.set()
            self._over()

    def _leave_file(self, file: GrowingFile) -> None:
        file.close()
        if self._checksum is not None and self._is_trusted:
            unchecked(self._around.staging, self._row.id).unlink(missing_ok=True)
        if self._whole is not None and not self._status.complete:
            self._around.digests.keep(self._row.id, self.offset, self._whole)

    def _check_mine(self) -> None:
        if self._is_preempted or self._is_over:
            raise Preempted
