"""Moving files in threads of this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from scigate.storage_backends.errors import DigestMismatch, ErrorKind, StorageError

from ...db.database import DatabaseUnavailable
from ...resources import FileState
from ...uploads.staged import Starved
from ..batch import move_batch
from ..lease import LeaseLost
from ..ledger import Held, Move
from ..looking import abandon, failure_of
from ..machine import What
from ..mover import move_large
from ..planner import SMALL
from ..runtime import Runtime, Stop, Stopped, StopSign
from ..tasks import Task

log = logging.getLogger(__name__)
EMPTY_TRIES: Final = 3  # a draft that has not got a block in so many tries, and one more, is begun anew


class LocalExecutor:
    """The default executor: ``slots`` large files or batches of small ones at once."""

    def __init__(self, runtime: Runtime, slots: int) -> None:
        self._runtime = runtime
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._lock = threading.Lock()
        self._running = 0
        self._begun = time.monotonic()
        self._stopping = False

    def submit(self, tasks: Sequence[Task], over: Callable[[], None]) -> None:
        """See ``Executor``."""
        with self._lock:
            self._running += 1
            why = Stop.SHUTDOWN if self._stopping else None
            signs = {task.held.seq: StopSign(why) for task in tasks}
            self._runtime.signs.update(signs)
        self._pool.submit(self._run, tasks, signs, over)

    def tell(self, stops: Mapping[int, Stop]) -> None:
        """See ``Executor``."""
        for seq, why in stops.items():
            if sign := self._runtime.signs.get(seq):
                sign.why = why if why is Stop.SHUTDOWN else sign.why or why

    def stop(self, patience: timedelta) -> bool:
        """See ``Executor``."""
        with self._lock:
            self._stopping = True
            running = list(self._runtime.signs)
        self.tell(dict.fromkeys(running, Stop.SHUTDOWN))
        deadline = time.monotonic() + patience.total_seconds()
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not self._running

    def _run(self, tasks: Sequence[Task], signs: Mapping[int, StopSign], over: Callable[[], None]) -> None:
        try:
            self._move(tasks)
        except (LeaseLost, DatabaseUnavailable) as error:
            log.error("files ended without a word to the records; the reconciler takes them back: %s", error)
            self._leave_overtaken(tasks)
        except Exception:
            log.exception("files ended without a word to the records; the reconciler takes them back")
        finally:
            with self._lock:
                self._running -= 1
            self._take_down(signs)
            over()

    def _take_down(self, signs: Mapping[int, StopSign]) -> None:
        """What was given back has perhaps begun anew already: then its sign is another one, and stays."""
        with self._lock:
            own = [seq for seq, sign in signs.items() if self._runtime.signs.get(seq) is sign]
            for seq in own:
                del self._runtime.signs[seq]
        for seq in own:
            self._runtime.progress.ended(seq)

    def _move(self, tasks: Sequence[Task]) -> None:
        if len(tasks) == 1 and (tasks[0].held.size or 0) > SMALL:
            self._move_large(tasks[0])
        else:
            self._move_small(tasks)

    def _move_small(self, tasks: Sequence[Task]) -> None:
        failed: set[int] = set()
        begun = time.monotonic()

        def ended(task: Task, error: Exception) -> None:
            failed.add(task.held.seq)
            self._ended(task, error)

        try:
            move_batch(self._runtime, tasks, ended)
        except (LeaseLost, DatabaseUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 what concerns them all, for example a sync that fails
            for task in tasks:
                self._ended(task, error)
        else:
            if len(failed) < len(tasks):
                self._worked(tasks[0])
                moved = self._runtime.progress.moving_of(task.held.seq for task in tasks)
                self._runtime.rates.small(tasks[0].lane, moved, time.monotonic() - begun)

    def _move_large(self, task: Task) -> None:
        with self._runtime.rates.followed(task) as track:
            try:
                move_large(self._runtime, task)
            except (LeaseLost, DatabaseUnavailable):
                raise
            except Exception as error:  # noqa: BLE001 even a bug must end in the records as a cause
                self._ended(task, error)
            else:
                track.done = True
                self._worked(task)

    def _worked(self, task: Task) -> None:
        for name in task.lane.storages:
            self._runtime.breaker.worked(name)

    def _ended(self, task: Task, error: Exception) -> None:
        """Write down why an attempt ended before the file was DONE. Raises ``DatabaseUnavailable``, also if that is
        why: it says nothing about the file."""
        if isinstance(error, DatabaseUnavailable):
            raise error
        held = self._runtime.work.current(task.held)
        if held is None:
            self._leave(task)
            return
        if held.state is FileState.DONE:
            return  # it was done all the same
        if held.state is FileState.CANCELLING:
            self._clean(task, held)
        elif isinstance(error, Starved):
            self._starved(task, held)
        elif isinstance(error, Stopped):
            if error.why is Stop.PAUSE and held.state is not FileState.PUBLISHING:
                self._runtime.work.pause(Move(held, What.PAUSE, {"adoptable": True}))
            else:
                self._runtime.work.move_if_held([Move(held, What.RELEASE, {"adoptable": True})])
        else:
            self._failed(task, held, error)

    def _starved(self, task: Task, held: Held) -> None:
        """The file waits for its sender; what has come since it gave up is looked at once more."""
        self._runtime.work.starved(held)
        if source := self._runtime.receiving.source:
            source.arrivals.look_again(task.source_path)

    def _leave_overtaken(self, tasks: Sequence[Task]) -> None:
        with suppress(DatabaseUnavailable):
            for task in tasks:
                if self._runtime.work.current(task.held) is None:
                    self._leave(task)

    def _leave(self, task: Task) -> None:
        """Another attempt owns the file. It has removed our draft, but perhaps before we created it: we were asleep."""
        begun = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._begun)  # by the clock as it is set now
        try:
            backend = self._runtime.backend(task.destination_storage)
            backend.abandon(task.destination_path, key=task.key, ref=None, since=begun)
        except StorageError as error:
            log.warning("a draft of file %s may stay: %s", task.held.seq, error)

    def _failed(self, task: Task, held: Held, error: Exception) -> None:
        if not isinstance(error, StorageError):
            log.error("file %s: a mistake of ours", held.seq, exc_info=error)
        elif error.kind is ErrorKind.TRANSIENT and error.storage:
            self._runtime.breaker.failed(error.storage, held.seq, time.monotonic())
        failure = failure_of(error, held.failures)
        worthless = held.bytes_done == 0 and held.failures >= EMPTY_TRIES  # perhaps the draft can take nothing at all
        sound = not (worthless or isinstance(error, DigestMismatch))  # which block is wrong is not known: all are sent
        after = self._runtime.work.move_if_held([Move(held, What.FAILURE, {"adoptable": sound}, failure=failure)])
        if after and after[0].state is FileState.FAILED:
            self._discard_drafts(task)

    def _clean(self, task: Task, held: Held) -> None:
        """Of a cancelled file nothing stays; what cannot be removed now is left to the reconciler."""
        if self._discard_drafts(task):
            self._runtime.work.move_if_held([Move(held, What.CLEANED)])
        else:
            self._runtime.work.move_if_held([Move(held, What.LAPSE, {"worker": None})])

    def _discard_drafts(self, task: Task) -> bool:
        # Not those of a later attempt: its owner may have it tried again at once.
        drafts = [old for old in self._runtime.work.drafts(task.held.seq) if old.epoch <= task.held.epoch]
        try:
            backend = self._runtime.backend(task.destination_storage)
            abandon(self._runtime, task.held.seq, backend, task.destination_path, drafts)
        except StorageError as error:
            log.warning("drafts of file %s stay for now: %s", task.held.seq, error)
            return False
        return True
