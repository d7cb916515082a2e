"""How many people use the gateway now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

RECENT: Final = 300.0  # seconds after which who asks nothing more is not counted
MOST: Final = 10_000  # people remembered; the next one makes the gateway forget those who are gone


class Presence:
    """Who has asked something lately. Thread-safe, and cheap: it is told of every request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()
        self.others: list[Callable[[], Iterable[str]]] = []
        """Each tells the ids of people who are here though they ask nothing: their transfers move, for example."""

    def seen(self, actor: str) -> None:
        """This one asks something."""
        self._seen[actor] = self._clock()
        if len(self._seen) > MOST:
            self._recent()

    def count(self) -> int:
        """How many different people are here."""
        here = set(self._recent())
        return len(here.union(*(tell() for tell in self.others)))

    def _recent(self) -> list[str]:
        with self._lock:
            since = self._clock() - RECENT
            self._seen = {actor: when for actor, when in self._seen.copy().items() if when >= since}
            return list(self._seen)
