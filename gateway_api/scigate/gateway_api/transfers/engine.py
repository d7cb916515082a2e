"""The engine: gives free slots to the next files, watches over what runs, and sets right what was left half done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import Backend
from scigate.storage_backends.errors import ErrorKind, Fenced, StorageError

from ..db.database import Database, DatabaseUnavailable
from ..resources import FileState
from .batch import move_batch
from .lease import Lease, LeaseLost
from .ledger import Held, Move
from .looking import abandon, failure_of
from .machine import What
from .mover import move_large
from .planner import SMALL
from .progress import LiveProgress
from .reconcile import Reconciler
from .runtime import OpenUrl, Runtime, Stop, Stopped, StopSign
from .scheduler import Breaker, Lane, Load, SlotLimits, choose
from .walker import Walk, Walks
from .work import OldDraft, Task, Work

log = logging.getLogger(__name__)
TICK: Final = 0.5  # seconds between looks at what nobody tells us of: waiting files, wishes told to other gateways
WALKS: Final = 2  # folders listed at once
_STOPS: Final = {"pause": Stop.PAUSE, "cancel": Stop.CANCEL}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How much the engine does at once. ``lease`` and ``reconcile_every`` in seconds."""

    slots: SlotLimits
    streams: int = 4
    batch_files: int = 256
    batch_bytes: int = 32 << 20
    lease: float = 30.0
    reconcile_every: float = 60.0


class Engine:
    """Moves what is queued, until stopped. ``folder`` holds this gateway's own state on the local disk."""

    def __init__(
        self,
        database: Database,
        backend: Callable[[str], Backend],
        open_url: OpenUrl,
        settings: EngineSettings,
        folder: Path,
        *,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._settings = settings
        self.progress = LiveProgress()
        self._lease = Lease(database, folder / "workers", settings.lease)
        work = Work(database, self._lease.worker)
        self._runtime = Runtime(work, self._lease, backend, open_url, self.progress, Breaker(), settings.streams)
        self._reconciler = Reconciler(database, self._runtime, folder / "workers")
        self._walks = Walks(database, self._lease)
        self._chores = (self._reconciler.run, *chores)
        self._load = Load()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(settings.slots.total, thread_name_prefix="slot")
        self._listers = ThreadPoolExecutor(WALKS, thread_name_prefix="lister")
        self._listing = 0
        self._threads = [
            threading.Thread(target=self._dispatch, name="dispatcher", daemon=True),
            threading.Thread(target=self._keep_house, name="reconciler", daemon=True),
        ]

    def start(self) -> None:
        """Take the lease, take back what a former run of this gateway held, and begin."""
        self._lease.start()
        self._reconciler.run()
        for thread in self._threads:
            thread.start()

    def stop(self, patience: timedelta = timedelta(seconds=25)) -> None:
        """Claim nothing more, let running files stop at the next buffer and give them back to the queue."""
        self._stopping.set()
        self._wake.set()
        for sign in list(self._runtime.signs.values()):
            sign.why = sign.why or Stop.SHUTDOWN
        deadline = time.monotonic() + patience.total_seconds()
        while self.active() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._listers.shutdown(wait=True, cancel_futures=True)
        for thread in self._threads:
            thread.join()
        if not self.active():  # else the lease runs out by itself, and what still moves is fenced
            self._reconciler.take_back(self._lease.worker, surely=True)
            self._lease.end()

    def active(self) -> int:
        """Slots that are taken now."""
        with self._lock:
            return self._load.total

    def look(self) -> None:
        """There may be something new to do."""
        self._wake.set()

    def is_alive(self) -> bool:
        """Whether the engine runs and holds its lease."""
        return self._lease.is_held() and all(thread.is_alive() for thread in self._threads)

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK)
            self._wake.clear()
            try:
                self._round()
            except (DatabaseUnavailable, LeaseLost) as error:
                log.warning("engine: nothing is started for now: %s", error)
                self._stopping.wait(1.0)
            except Exception:
                log.exception("engine: a round failed; the next one begins anew")
                self._stopping.wait(1.0)

    def _round(self) -> None:
        work = self._runtime.work
        work.wake()
        work.settle()
        for seq, wish in work.told_to_stop().items():
            if sign := self._runtime.signs.get(seq):
                sign.why = sign.why or _STOPS[wish]
        while not self._stopping.is_set() and self._lease.is_held() and (self._start_listing() or self._start_next()):
            pass

    def _start_next(self) -> bool:
        """Give one slot to the next files, if a slot is free and there are any."""
        work, settings = self._runtime.work, self._settings
        if self.active() >= settings.slots.total:
            return False
        with self._lock:
            resting = self._runtime.breaker.resting(time.monotonic())
            head = choose(work.heads(), self._load, settings.slots, resting)
        if head is None:
            return False
        tasks = work.claim(head.lane, settings.batch_files, settings.batch_bytes)
        if tasks:
            self._occupy(head.lane, tasks)
        return True

    def _occupy(self, lane: Lane, tasks: list[Task]) -> None:
        with self._lock:
            self._load.take(lane)
        for task in tasks:
            self._runtime.signs[task.held.seq] = StopSign(Stop.SHUTDOWN if self._stopping.is_set() else None)
        future = self._pool.submit(self._run, tasks)
        future.add_done_callback(lambda future: self._vacate(lane, tasks, future))

    def _vacate(self, lane: Lane, tasks: list[Task], future: Future[None]) -> None:
        with self._lock:
            self._load.give_back(lane)
        for task in tasks:
            self._runtime.signs.pop(task.held.seq, None)
            self.progress.ended(task.held.seq)
        self._wake.set()
        if not future.cancelled() and (error := future.exception()):
            log.error("engine: a batch ended with %s; its files are taken back when the lease says so", error)

    def _run(self, tasks: list[Task]) -> None:
        try:
            if len(tasks) == 1 and (tasks[0].held.size or 0) > SMALL:
                self._run_large(tasks[0])
            else:
                move_batch(self._runtime, tasks, self._ended)
        except LeaseLost as error:
            log.error("engine: stopped without a word to the records: %s", error)

    def _run_large(self, task: Task) -> None:
        try:
            move_large(self._runtime, task)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 even a bug must end in the records as a cause
            self._ended(task, error)
        else:
            self._worked(task)

    def _worked(self, task: Task) -> None:
        for name in task.lane.storages:
            self._runtime.breaker.worked(name)

    def _ended(self, task: Task, error: Exception) -> None:
        """Write down why an attempt ended before the file was DONE."""
        held = self._runtime.work.current(task.held)
        if held is None:
            return  # fenced: another attempt owns the file now
        if held.state is FileState.CANCELLING:
            self._clean(task, held)
        elif isinstance(error, Stopped):
            what = What.PAUSE if error.why is Stop.PAUSE else What.RELEASE
            self._runtime.work.move_if_held([Move(held, what, {"adoptable": True})])
        elif not isinstance(error, Fenced) or held.state is not FileState.DONE:
            self._failed(task, held, error)

    def _failed(self, task: Task, held: Held, error: Exception) -> None:
        if not isinstance(error, StorageError):
            log.error("file %s: a mistake of ours", held.seq, exc_info=error)
        elif error.kind is ErrorKind.TRANSIENT and error.storage:
            self._runtime.breaker.failed(error.storage, time.monotonic())
        failure = failure_of(error, held.failures)
        after = self._runtime.work.move_if_held([Move(held, What.FAILURE, {"adoptable": True}, failure=failure)])
        if after and after[0].state is FileState.FAILED:
            self._discard_drafts(task)

    def _clean(self, task: Task, held: Held) -> None:
        if self._discard_drafts(task):
            self._runtime.work.move_if_held([Move(held, What.CLEANED)])
        else:
            self._runtime.work.move_if_held([Move(held, What.LAPSE, {"worker": None})])

    def _discard_drafts(self, task: Task) -> bool:
        """Remove all drafts of a file; if its storage does not answer, the reconciler does it later."""
        mine = OldDraft(
            task.held.epoch, task.key, self._runtime.work.draft_ref(task.held), None, None, time.time() - 60
        )
        try:
            backend = self._runtime.backend(task.destination_storage)
            abandon(self._runtime, task.held.seq, backend, task.destination_path, [mine, *task.old_drafts])
        except StorageError as error:
            log.warning("drafts of file %s stay for now: %s", task.held.seq, error)
            return False
        return True

    def _start_listing(self) -> bool:
        if self._listing >= WALKS or (walk := self._walks.claim()) is None:
            return False
        with self._lock:
            self._listing += 1
        self._listers.submit(self._list, walk)
        return True

    def _list(self, walk: Walk) -> None:
        try:
            self._walks.run(walk, self._runtime.backend(walk.source_storage))
        except LeaseLost:
            log.warning("engine: a listing stopped: the lease was lost")
        except Exception as error:
            log.log(
                logging.INFO if isinstance(error, StorageError) else logging.ERROR, "listing failed", exc_info=error
            )
            self._walks.give_back(walk, failure_of(error, walk.failures))
        finally:
            with self._lock:
                self._listing -= 1
            self._wake.set()

    def _keep_house(self) -> None:
        while not self._stopping.wait(self._settings.reconcile_every):
            for chore in self._chores:
                try:
                    chore()
                except Exception:
                    log.exception("housekeeping failed; it is tried again in a minute")
