"""The engine: gives free slots to the next files, watches over what runs, and sets right what was left half done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import Backend
from scigate.storage_backends.errors import StorageError

from ..db.database import Database, DatabaseUnavailable
from ..uploads.source import StagedSource
from ..uploads.window import Window
from .beginning import Beginning
from .crowd import Crowd
from .executors.local import LocalExecutor
from .expected import ExpectedRates
from .lease import Lease, LeaseLost
from .looking import failure_of
from .progress import LiveProgress
from .rates_kept import Rates
from .receiving import Receiving
from .reconcile import Reconciler
from .runtime import OpenUrl, Runtime, Stop
from .scheduler import Breaker, Lane, Share, SlotLimits, upload_slots
from .walker import Walk, Walks
from .work import Work

log = logging.getLogger(__name__)
GATHERED: Final = 0.1  # seconds after a round in which what comes in crowds is gathered for the next one
TICK: Final = 0.5  # seconds between looks at what nobody tells us of: waiting files, wishes told to other gateways
WALKS: Final = 2  # folders listed at once
CLAIMS: Final = 8  # files, each for a slot of its own, whose claims share a commit
PATIENCE: Final = timedelta(seconds=25)  # that a stop waits for running files
LINGER: Final = timedelta(seconds=3)
"""That a start waits until what nobody needs is cleared up, and a stop for that and for listings: who asks a storage
that hangs is not waited for."""

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
    uploads: SlotLimits = field(default_factory=partial(upload_slots, 8))


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
        each_round: Callable[[], None] = lambda: None,
        staging: StagedSource | None = None,
        window: Window | None = None,
    ) -> None:
        self._settings = settings
        self.progress, self.expected = LiveProgress(), ExpectedRates()
        self._lease = Lease(database, folder / "workers", settings.lease)
        receiving = Receiving(database, staging, window)
        work = Work(database, self._lease.worker, receiving)
        self._runtime = Runtime(
            work,
            receiving,
            self._lease,
            backend,
            open_url,
            self.progress,
            Breaker(),
            settings.streams,
            Crowd(settings.streams),
            Rates(database, self.progress, self.expected),
        )
        self._executor = LocalExecutor(self._runtime, settings.slots.total + settings.uploads.total)
        self._reconciler = Reconciler(database, self._runtime, folder / "workers")
        self._beginning = Beginning(database)
        walks = Walks(database, self._lease)
        self._listing = Listing(walks, backend, self.look)
        self._chores = (self._reconciler.take_back_all, self._reconciler.clear_up, walks.sweep, *chores)
        self._each_round = each_round
        self._claims = ThreadPoolExecutor(CLAIMS, thread_name_prefix="claim")
        self._one_by_one: int | None = None
        """The lane whose files took a slot each when something was claimed last: of it many are claimed at once."""
        self._shares = (Share(settings.slots, uploads=False), Share(settings.uploads, uploads=True))
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._soon, self._gathering = False, False
        self._stopping, self._cleared = threading.Event(), threading.Event()
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
        self._keeper = threading.Thread(target=self._keep_house, name="reconciler", daemon=True)

    def start(self) -> None:
        """Take the lease, take back what a former run of this gateway held, and begin."""
        self._lease.start()
        self._runtime.rates.refill()
        self._reconciler.take_back_all()
        self._keeper.start()
        self._cleared.wait(LINGER.total_seconds())
        self._dispatcher.start()

    def stop(self, patience: timedelta = PATIENCE) -> None:
        """Claim nothing more, let running files stop at the next buffer and give them back to the queue."""
        self._stopping.set()
        self._reconciler.stopping.set()
        self._wake.set()
        if self._dispatcher.is_alive():  # not in a gateway that could not start
            self._dispatcher.join()
        if self._keeper.is_alive():
            self._keeper.join(LINGER.total_seconds())
        self._listing.stop(LINGER)
        self._claims.shutdown()
        if self._executor.stop(patience):  # else the lease runs out by itself, and what still moves is fenced
            self._give_back()

    def _give_back(self) -> None:
        try:
            self._reconciler.take_back(self._lease.worker, surely=True)
        except DatabaseUnavailable as error:
            log.warning("engine: what it holds is given back when its lease has run out: %s", error)
            self._lease.run_out()
        else:
            self._lease.end()

    def active(self) -> int:
        """Slots that are taken now."""
        with self._lock:
            return sum(share.load.total for share in self._shares)

    def owners(self) -> set[str]:
        """Whose files move now."""
        with self._lock:
            return {owner for share in self._shares for owner, slots in share.load.by_owner.items() if slots > 0}

    def look(self) -> None:
        """There may be something new to do."""
        self._wake.set()

    def look_at_queued(self) -> None:
        """Files of transfers are queued. While all slots are taken nobody has to look: whoever leaves one does."""
        with self._lock:
            free = self._shares[0].is_free
        if free:
            self.look()

    def look_soon(self) -> None:
        """The same for what comes in crowds: the first is looked at at once, those that follow it together."""
        self._soon = True  # before the look at ``_gathering``: either we wake the dispatcher, or it sees this
        if not self._gathering:
            self._wake.set()

    def is_alive(self) -> bool:
        """Whether the engine runs and holds its lease."""
        return self._lease.is_held() and self._dispatcher.is_alive() and self._keeper.is_alive()

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._rest()
            try:
                self._round()
            except (DatabaseUnavailable, LeaseLost) as error:
                log.warning("engine: nothing is started for now: %s", error)
                self._stopping.wait(1.0)
            except Exception:
                log.exception("engine: a round failed; the next one begins anew")
                self._stopping.wait(1.0)

    def _rest(self) -> None:
        """Wait for something to do."""
        if not self._wake.wait(GATHERED):
            self._gathering = False
            if not self._soon:
                self._wake.wait(TICK)
        self._gathering, self._soon = True, False
        self._wake.clear()

    def _round(self) -> None:
        work = self._runtime.work
        if self._beginning.run() or work.wake():
            self._wake.set()
        self._runtime.receiving.queue()
        if work.settle():
            self._wake.set()
        self._each_round()
        self._executor.tell({seq: _STOPS[wish] for seq, wish in work.told_to_stop().items()})
        while not self._stopping.is_set() and self._lease.is_held() and (self._listing.start() or self._start_next()):
            pass

    def _start_next(self) -> bool:
        """Give one slot of each share to its next files, if one is free and there are any."""
        with self._lock:
            free = [share for share in self._shares if share.is_free]
        heads = self._runtime.work.heads() if free else []
        resting = self._runtime.breaker.resting(time.monotonic())
        with self._lock:
            chosen = [(share, head.lane) for share in free if (head := share.choose(heads, resting))]
            slots = [
                min(CLAIMS, share.room(lane, heads)) if lane.id == self._one_by_one else 1 for share, lane in chosen
            ]
        for (share, lane), count in zip(chosen, slots, strict=True):
            self._give(share, lane, count)
        return bool(chosen)

    def _give(self, share: Share, lane: Lane, slots: int) -> None:
        claim = partial(self._runtime.work.claim, lane, self._settings.batch_files, self._settings.batch_bytes)
        with self._runtime.claiming:
            claims = [self._claims.submit(claim) for _ in range(slots)]
            wait(claims)
            claimed = [tasks for each in claims if each.exception() is None and (tasks := each.result())]
            for tasks in claimed:
                with self._lock:
                    share.load.take(lane)
                self._executor.submit(tasks, partial(self._vacate, share, lane))
        self._one_by_one = lane.id if claimed and max(map(len, claimed)) == 1 else None
        for each in claims:
            each.result()  # what has kept one of them from it

    def _vacate(self, share: Share, lane: Lane) -> None:
        with self._lock:
            share.load.give_back(lane)
        if share.uploads:
            self.look_soon()
        else:
            self.look()

    def _keep_house(self) -> None:
        self._do(self._reconciler.clear_up)
        self._cleared.set()
        while not self._stopping.wait(self._settings.reconcile_every):
            for chore in self._chores:
                if not self._stopping.is_set():
                    self._do(chore)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except Exception:
            log.exception("housekeeping failed; it is tried again at the next round")


class Listing:
    """Lists a few folders at a time, each in a thread of its own."""

    def __init__(self, walks: Walks, backend: Callable[[str], Backend], over: Callable[[], None]) -> None:
        self._walks = walks
        self._backend = backend
        self._over = over
        self._pool = ThreadPoolExecutor(WALKS, thread_name_prefix="lister")
        self._free = threading.Semaphore(WALKS)

    def start(self) -> bool:
        """Begin with the next folder, if there is one and a thread is free."""
        if not self._free.acquire(blocking=False):
            return False
        walk = None
        try:
            walk = self._walks.claim()
        finally:  # also when the records are out of reach
            if walk is None:
                self._free.release()
        if walk is None:
            return False
        self._pool.submit(self._list, walk)
        return True

    def stop(self, patience: timedelta) -> None:
        """End at the next chunk. A folder whose storage hangs is listed anew at the next start."""
        self._walks.stop()
        end = time.monotonic() + patience.total_seconds()
        for _ in range(WALKS):  # who has them all knows that nobody lists
            self._free.acquire(timeout=max(0.0, end - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _list(self, walk: Walk) -> None:
        try:
            self._walks.run(walk, self._backend)
        except (DatabaseUnavailable, LeaseLost) as error:  # nobody's mistake: ``Walks.sweep`` lets it begin anew
            log.warning("engine: a listing stopped: %s", error)
        except StorageError as error:
            log.info("a folder at %s could not be listed: %s", walk.source_storage, error)
            self._walks.give_back(walk, failure_of(error, walk.failures))
        except Exception as error:
            log.exception("a listing failed by a mistake of ours")
            self._walks.give_back(walk, failure_of(error, walk.failures))
        finally:
            self._walks.over(walk)
            self._free.release()
            self._over()
