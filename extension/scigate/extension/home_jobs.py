"""Transfers from and to the files of this server, carried out by it with the Python client.

What is sent becomes a transfer of the gateway before its first byte goes: its id, its progress and its second leg are
there. What is fetched is only ours to tell. Both go on at the server's next start where they stopped.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from scigate.gateway_api.client import Gateway, GatewayError, GatewayUnreachable, LocalFileError, RequestRefused
from scigate.gateway_api.client.download import part_path
from scigate.gateway_api.client.threads import in_threads

from .home_paths import to_fetch
from .home_records import FINAL, Promise, Records
from .home_view import Progress, cause_of
from .problem import Refusal

log = logging.getLogger(__name__)
MOST: Final = 32  # jobs that have not ended
FETCHES: Final = 4
AGAIN: Final = 20.0  # seconds after which a gateway that did not answer is asked again
GIVEN_UP: Final = timedelta(days=1)  # as long as a gateway keeps an upload to which nothing is added
REMEMBERED: Final = timedelta(days=1)
RETRIED: Final = frozenset({401, 403, 408, 423, 429})


class Stopped(Exception):
    """The work is broken off: by its owner, or since the server ends."""


class Job:
    """One promise being kept."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self.progress = Progress(promise)
        self.begun: Future[str] = Future()
        """The id of the transfer at the gateway; or why there will be none."""
        if promise.transfer is not None:
            self.begun.set_result(promise.transfer)
        self.stop = threading.Event()
        self.cancelled = False

    def check(self, *_: object) -> None:
        """Break off when that is asked for."""
        if self.stop.is_set():
            raise Stopped("It was stopped.")

    @property
    def is_over(self) -> bool:
        return self.promise.state in FINAL


class Jobs:
    """All of them, each in a thread of its own; of those that fetch a few at a time."""

    def __init__(self, records: Records, root: Path, connect: Callable[[], Gateway], *, hidden: bool = False) -> None:
        self._records, self._root, self._connect, self._hidden = records, root, connect, hidden
        self._room = threading.Semaphore(FETCHES)
        self._lock = threading.Lock()
        self.all: dict[str, Job] = {}

    def resume(self) -> None:
        """Go on with what the last server had promised; forget what is over for long."""
        with self._lock:  # else what is accepted in this moment would be found here, and begun twice
            for promise in self._records.load():
                over = promise.state in FINAL
                if over and (_is_old(promise) or _came_to_nothing(promise)):
                    self._records.remove(promise.id)
                elif promise.id not in self.all:
                    self._begin(Job(promise), run=not over)

    def accept(self, promise: Promise) -> Job:
        """Promise it durably and begin; or give the one that the same key was used for. Raises ``Refusal``."""
        with self._lock:
            if promise.key and (known := self._with_key(promise.key)):
                return _same(known, promise)
            self._forget_old()
            if sum(not job.is_over for job in self.all.values()) >= MOST:
                raise Refusal(503, "too-many-transfers", f"{MOST} transfers of this server's files are under way.",
                              next_step="Wait until some have ended.", retriable=True)  # fmt: skip
            return self._promised(promise)

    def forget(self, job: Job) -> None:
        """Nobody needs to know of it any more."""
        with self._lock:  # its thread may just be writing down how it ended
            self._drop(job)

    def cancel(self, job: Job) -> None:
        """End it; what has arrived stays."""
        if not job.is_over:
            job.cancelled = True
            job.stop.set()
            self._end(job, "CANCELLED")

    def again(self, job: Job) -> Job:
        """Try what has failed once more."""
        with self._lock:
            if not job.is_over or self.all.get(job.promise.id) is not job:
                return job
            return self._promised(replace(job.promise, state="ACTIVE", cause=None, failed=0, finished=None))

    def are_moving(self) -> bool:
        return any(not job.is_over for job in list(self.all.values()))

    def stop(self) -> None:
        """Break all of them off, for the next start to go on with."""
        for job in list(self.all.values()):
            job.stop.set()

    def _promised(self, promise: Promise) -> Job:
        try:
            self._records.save(promise)
        except OSError as error:
            raise Refusal(507, "no-space", f"This transfer cannot be written down: {error.strerror}.",
                          next_step="Free space in your home folder and try again.") from None  # fmt: skip
        return self._begin(Job(promise))

    def _begin(self, job: Job, *, run: bool = True) -> Job:
        self.all[job.promise.id] = job
        if run:
            threading.Thread(target=self._run, args=(job,), name=job.promise.id, daemon=True).start()
        return job

    def _forget_old(self) -> None:
        for job in list(self.all.values()):
            if job.is_over and _is_old(job.promise):
                self._drop(job)

    def _drop(self, job: Job) -> None:
        self.all.pop(job.promise.id, None)
        self._records.remove(job.promise.id)

    def _with_key(self, key: str) -> Job | None:
        return next((job for job in self.all.values() if job.promise.key == key), None)

    def _run(self, job: Job) -> None:
        """Whatever happens, nobody waits for ever: neither who asked, nor the hub for this server to be idle."""
        try:
            self._keep(job)
        finally:
            if not job.stop.is_set() and not job.is_over:
                job.promise.cause = cause_of(mistake := _mistake())
                if not job.begun.done():
                    job.begun.set_exception(mistake)
                self._end(job, "FAILED")

    def _keep(self, job: Job) -> None:
        sends = job.promise.kind == "send"  # which has to be at the gateway before it is answered
        work = self._send if sends else self._fetch
        with nullcontext() if sends else self._room:
            while not job.stop.is_set():
                try:
                    return self._end(job, work(job) or ("FAILED" if job.promise.failed else "DONE"))
                except Stopped:
                    return None
                except (GatewayError, Refusal, OSError) as error:
                    if not self._goes_on(job, error):
                        return self._end(job, "FAILED")
        return None

    def _goes_on(self, job: Job, error: Exception) -> bool:
        """After a failure: wait for the gateway, unless it is in vain."""
        job.promise.cause = cause_of(error)
        is_new = job.promise.kind == "send" and job.promise.transfer is None
        if is_new and not job.begun.done():
            job.begun.set_exception(error)
            return False
        late = time.time() - job.promise.created > GIVEN_UP.total_seconds()
        if late or not _may_pass(error):
            return False
        log.warning("transfer %s waits: %s", job.promise.id, job.promise.cause["message"])
        job.stop.wait(AGAIN)
        return True

    def _end(self, job: Job, state: str) -> None:
        promise = job.promise
        with self._lock:
            if promise.state in FINAL:
                return
            promise.state, promise.finished, promise.arrived = state, time.time(), job.progress.arrived
            if state == "DONE":
                promise.cause = None
            self._write_down(job)  # else it is done again at the next start, which changes nothing

    def _write_down(self, job: Job) -> None:
        """How far it is, if that can be written, unless it was forgotten or begun anew meanwhile."""
        if self.all.get(job.promise.id) is job:
            with suppress(OSError):
                self._records.save(job.promise)

    def _send(self, job: Job) -> str | None:
        """How the gateway has ended it meanwhile, e.g. as it was cancelled there; None: it is sent now."""
        promise = job.promise
        with self._connect() as gateway:
            if promise.transfer is not None and (state := gateway.transfer(promise.transfer).state) in FINAL:
                return str(state)
            group = gateway.put_each(
                promise.files, overwrite=promise.overwrite, label=promise.label, sent=job.check,
                begun=lambda transfer: self._is_begun(job, transfer),
                not_before=_moment(promise.not_before), deadline=_moment(promise.deadline),
            )  # fmt: skip
            if group.refused:
                error = LocalFileError("; ".join(islice(group.refused.values(), 3)))
                if promise.transfer is None:
                    raise error
                promise.failed, promise.cause = len(group.refused), cause_of(error)
        return None

    def _is_begun(self, job: Job, transfer: str) -> None:
        """The last one counts: a file that was changed while this server was away is sent anew, as another one."""
        if job.promise.transfer != transfer:
            job.promise.transfer = transfer
            with self._lock:
                self._write_down(job)  # else the client's own record finds it again
        if not job.begun.done():
            job.begun.set_result(job.promise.transfer)

    def _fetch(self, job: Job) -> None:
        promise = job.promise
        with self._connect() as gateway:
            files = to_fetch(gateway, self._root, promise.files, hidden=self._hidden)
            there = self._there(promise.id, files)
            job.progress.expect(files, there)
            promise.failed = 0
            missing = (file for file in files if file[1] not in there)
            for error in in_threads(lambda file: self._fetch_one(job, gateway, *file[:2]), missing):
                job.check()
                if error is not None and _may_pass(error):
                    raise error
                if error is not None:
                    promise.failed, promise.cause = promise.failed + 1, cause_of(error)

    def _there(self, id: str, files: list[tuple[str, str, int]]) -> set[str]:
        """What an earlier run has fetched; also what it could not note any more before it was killed: what it began
        where nothing was, and is there whole."""
        begun = self._records.noted(id, "begun")
        unnoted = {target for _, target, size in files if target in begun and _size(target) == size}
        return self._records.noted(id, "done") | unnoted

    def _fetch_one(self, job: Job, gateway: Gateway, source: str, target: str) -> GatewayError | None:
        def received(count: int) -> None:
            job.check()
            job.progress.moved(count)

        if not os.path.lexists(target):
            self._records.note(job.promise.id, "begun", target)
        try:
            overwrite = job.promise.overwrite == "overwrite"
            gateway.get(source, target, overwrite=overwrite, exactly=True, received=received)
        except GatewayError as error:
            return error
        except Stopped:
            if job.cancelled:
                _remove_part(Path(target))
            raise
        self._records.note(job.promise.id, "done", target)
        job.progress.one_more()
        return None


def _same(job: Job, promise: Promise) -> Job:
    """What was accepted with this key, if it is the same."""
    if (job.promise.kind, job.promise.files, job.promise.overwrite) != (promise.kind, promise.files, promise.overwrite):
        raise Refusal(409, "key-reused", "This Idempotency-Key was used for another transfer.",
                      next_step="Take a new key for a new transfer.")  # fmt: skip
    return job


def _is_old(promise: Promise) -> bool:
    return time.time() - (promise.finished or 0) > REMEMBERED.total_seconds()


def _came_to_nothing(promise: Promise) -> bool:
    """It was refused before there was a transfer: who asked has been told, and may ask again with the same key."""
    return promise.kind == "send" and promise.transfer is None


def _mistake() -> Refusal:
    return Refusal(500, "internal-error", "SciGate made a mistake in this transfer.",
                   next_step="Report it, with what the log of the Jupyter Server says.")  # fmt: skip


def _may_pass(error: Exception) -> bool:
    """Whether asking again later can help."""
    if isinstance(error, RequestRefused):
        return error.status >= 500 or error.status in RETRIED or error.retriable
    return isinstance(error, GatewayUnreachable)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _size(target: str) -> int | None:
    try:
        return os.stat(target).st_size
    except OSError:
        return None


def _remove_part(target: Path) -> None:
    """Nobody will go on with it."""
    part = part_path(target)
    for path in (part, part.with_name(part.name + ".json")):
        with suppress(OSError):
            path.unlink()
