"""The feed: follows the journal in one thread and tells who listens. Followers hold a cursor each, and no queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Set
from typing import Final, TypeAlias

from ..db.database import DatabaseUnavailable
from .journal import Journal, Scan
from .ring import Interest, Ring, keys_of

log = logging.getLogger(__name__)
POLL: Final = 0.5  # seconds between looks for what other gateways have written
PAUSE: Final = 0.05  # seconds between two looks at least, however busy the journal is
PORTION: Final = 500  # lines read at once
AWAY: Final = 1.0  # seconds before the database is asked again after it did not answer

Heard: TypeAlias = "Callable[[Set[str] | None], None]"
"""Called from the feed's thread with the keys under which there is news; None: perhaps under all."""


class Feed:
    """The end of the journal in memory. Rests while nobody listens. Thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._ring: Ring | None = None
        self._heard: tuple[Heard, ...] = ()
        self._news = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_alive(self) -> bool:
        """Whether the journal is followed, or would be."""
        return self._thread.is_alive()

    def committed(self) -> None:
        """This gateway has written something."""
        if self._heard:
            self._news.set()

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Tell ``heard`` from now on; returns what ends that. It is first told when the feed follows the journal."""
        with self._lock:
            self._heard = (*self._heard, heard)
            self._ring = None  # begins anew, and tells everybody
        self._news.set()
        return lambda: self._forget(heard)

    def take(self, interest: Interest, after: int, most: int) -> Scan | None:
        """The next lines behind ``after``, from memory; None if they have to be read from the journal."""
        with self._lock:
            return None if self._ring is None else self._ring.take(interest, after, most)

    def _forget(self, heard: Heard) -> None:
        with self._lock:
            self._heard = tuple(other for other in self._heard if other is not heard)
            self._ring = self._ring if self._heard else None

    def _run(self) -> None:
        while not self._stopping:
            self._news.wait(POLL if self._heard else None)
            self._news.clear()
            try:
                self._look()
            except (DatabaseUnavailable, MemoryError) as error:
                log.warning("events: %s; trying again", error)
                self._news.set()
                time.sleep(AWAY)
            time.sleep(PAUSE)

    def _look(self) -> None:
        if not self._heard:
            return
        with self._lock:
            ring = self._ring
        if ring is None:
            self._begin()
            return
        end = False
        while not (end or self._stopping):
            found = self._journal.scan(ring.head, PORTION, owner=None, topics=("transfers",))
            end = found.end
            self._add(ring, found)

    def _begin(self) -> None:
        newest = self._journal.newest()
        with self._lock:
            heard = self._heard
            self._ring = Ring(newest) if heard else None  # the last one may have gone meanwhile
        for tell in heard:
            tell(None)

    def _add(self, ring: Ring, found: Scan) -> None:
        changed: set[str] = set()
        with self._lock:
            for line in found.lines:
                ring.add(line)
                changed.update(keys_of(line))
            heard = self._heard
        for tell in heard if changed else ():
            tell(changed)
