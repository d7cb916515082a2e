"""What bandwidth to expect: the medians of what finished lately, between two storages and to one. In memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from statistics import median
from typing import Final

KEPT: Final = 50  # of each kind between two storages
LATELY: Final = 7 * 86_400.0  # seconds


class Kind(StrEnum):
    """What a rate was measured on: they tell different things, so none is mixed with another."""

    LARGE = "large"  # a file of many blocks: what the way between the storages gives
    SENDER = "sender"  # the same of an upload that was still received: its sender may have been the slower one
    SMALL = "small"  # a batch of small files: mostly what each of them costs


@dataclass(frozen=True, slots=True)
class Measured:
    """One rate in bytes per second; ``ended`` in seconds since 1970."""

    source: str
    destination: str
    kind: Kind
    rate: float
    ended: float


@dataclass(slots=True)
class ExpectedRates:
    """Thread-safe. A large file costs one entry, and so does a batch of small ones."""

    clock: Callable[[], float] = time.time
    _kept: dict[tuple[str, str, Kind], deque[Measured]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=KEPT))
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *measured: Measured) -> None:
        """Take these in, the oldest first."""
        with self._lock:
            for one in measured:
                self._kept[one.source, one.destination, one.kind].append(one)

    def between(self, source: str, destination: str) -> float | None:
        """Bytes per second from one storage ('' for outside URLs) to another; else what is known of the destination."""
        known = self._lately(lambda key: key[:2] == (source, destination))
        return _expected(known) or self.to(destination)

    def to(self, destination: str) -> float | None:
        """Bytes per second to a storage, wherever they come from; None if nothing finished there lately. What a storage
        copies inside itself says nothing of the way to it."""
        return _expected(self._lately(lambda key: key[1] == destination != key[0]))

    def _lately(self, wanted: Callable[[tuple[str, str, Kind]], bool]) -> Mapping[Kind, list[float]]:
        since = self.clock() - LATELY
        found: dict[Kind, list[float]] = defaultdict(list)
        with self._lock:
            for one in chain.from_iterable(kept for key, kept in self._kept.items() if wanted(key)):
                if one.ended >= since:
                    found[one.kind].append(one.rate)
        return found


def _expected(rates: Mapping[Kind, list[float]]) -> float | None:
    """The median of the kind that tells most."""
    return next((median(rates[kind]) for kind in Kind if rates.get(kind)), None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A storage that can be written to. ``rate``: what to expect of it; ``site``: where it is, if it is said."""

    name: str
    rate: float | None
    site: str | None
    local: bool


def nearest(candidates: Iterable[Candidate], site: str | None) -> str | None:
    """The name of the storage to suggest: at the gateway's own ``site``, then of the best expected rate, then on the
    gateway's own machine. None if nothing speaks for one of them."""

    def worth(one: Candidate) -> tuple[bool, float, bool]:
        return (site is not None and one.site == site, one.rate or 0.0, one.local)

    best = max(sorted(candidates, key=lambda one: one.name), key=worth, default=None)
    return best.name if best is not None and any(worth(best)) else None
