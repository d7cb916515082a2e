"""Who is next: fair shares between users, limits of storages and users. No I/O.

A **lane** is the queue of one user from one storage to another; inside it files go by priority, then age. The next
slot goes to the user who holds the fewest, so that ten thousand files of one delay another's first by one slot at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..uploads.staged import is_staging

TRIPS_AFTER: Final = 3  # files that failed, with none served between, before a storage is left alone for a while
FIRST_REST: Final = 2.0  # seconds; doubled with every further failure
LONGEST_REST: Final = 60.0


@dataclass(frozen=True, slots=True)
class Lane:
    """The queue of one user's files from one storage ('' for outside URLs) to another."""

    id: int
    owner: str
    source: str
    destination: str

    @property
    def is_upload(self) -> bool:
        """Whether its sources are uploads: these have slots of their own, for their senders may be slow."""
        return is_staging(self.source)

    @property
    def storages(self) -> tuple[str, ...]:
        return tuple(name for name in {self.source, self.destination} if name)


@dataclass(frozen=True, slots=True)
class Head:
    """The first file of a lane."""

    lane: Lane
    rank: int  # 9 - priority
    seq: int


@dataclass(slots=True)
class Load:
    """Which slots are taken now, and who was served when."""

    by_owner: Counter[str] = field(default_factory=Counter)
    by_storage: Counter[str] = field(default_factory=Counter)
    served: dict[str, int] = field(default_factory=dict)
    turn: int = 0

    @property
    def total(self) -> int:
        return self.by_owner.total()

    def take(self, lane: Lane) -> None:
        """A slot is given to this lane."""
        self.turn += 1
        self.served[lane.owner] = self.turn
        self.by_owner[lane.owner] += 1
        self.by_storage.update(lane.storages)

    def give_back(self, lane: Lane) -> None:
        """A slot of this lane is free again."""
        self.by_owner[lane.owner] -= 1
        self.by_storage.subtract(lane.storages)


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """How many slots there are: in all, for each user, for each storage; a missing name has the default."""

    total: int
    per_owner: int
    per_storage: int
    owners: Mapping[str, int] = field(default_factory=dict)
    storages: Mapping[str, int] = field(default_factory=dict)

    def room(self, lane: Lane, load: Load) -> int:
        """How many more slots this lane may have."""
        own = self.owners.get(lane.owner, self.per_owner) - load.by_owner[lane.owner]
        of = (self.storages.get(name, self.per_storage) - load.by_storage[name] for name in lane.storages)
        return max(0, min(self.total - load.total, own, *of))


def upload_slots(total: int) -> SlotLimits:
    """The slots of uploads, ``total`` in all; of more than one a user leaves a quarter to others."""
    return SlotLimits(total, max(1, total - -(-total // 4)), total)


def choose(heads: Iterable[Head], load: Load, limits: SlotLimits, resting: Iterable[str] = ()) -> Head | None:
    """The head that gets the next slot, or None. ``resting`` storages are left alone."""
    tired = set(resting)
    open_heads = [h for h in heads if limits.room(h.lane, load) and not tired.intersection(h.lane.storages)]
    if not open_heads:
        return None
    owner = min({h.lane.owner for h in open_heads}, key=lambda o: (load.by_owner[o], load.served.get(o, 0), o))
    return min((h for h in open_heads if h.lane.owner == owner), key=lambda h: (h.rank, h.seq))


@dataclass(slots=True)
class Share:
    """The slots of transfers, or those of uploads: neither waits for the other."""

    limits: SlotLimits
    uploads: bool
    load: Load = field(default_factory=Load)

    @property
    def is_free(self) -> bool:
        """Whether a slot is left."""
        return self.load.total < self.limits.total

    def choose(self, heads: Iterable[Head], resting: Iterable[str] = ()) -> Head | None:
        """See ``choose``; among the lanes that are its own."""
        return choose(self._own(heads), self.load, self.limits, resting)

    def room(self, lane: Lane, heads: Iterable[Head]) -> int:
        """How many slots the next files of a lane may have before anybody else's turn comes: of the only lane that has
        files all that there are, else one."""
        return self.limits.room(lane, self.load) if len(self._own(heads)) == 1 else 1

    def _own(self, heads: Iterable[Head]) -> list[Head]:
        return [head for head in heads if head.lane.is_upload is self.uploads]


@dataclass(slots=True)
class Breaker:
    """Leaves a storage alone at which several files failed in a row, so that a dead one cannot hold every slot.

    One file that fails again and again proves nothing about its storage.
    """

    _failed: dict[str, set[int]] = field(default_factory=dict)
    _rests: Counter[str] = field(default_factory=Counter)
    _until: dict[str, float] = field(default_factory=dict)

    def failed(self, storage: str, file: int, now: float) -> None:
        """The storage did not serve this file."""
        files = self._failed.setdefault(storage, set())
        files.add(file)
        if len(files) >= TRIPS_AFTER and self._until.get(storage, 0.0) <= now:  # what ran on tells nothing new
            self._until[storage] = now + min(LONGEST_REST, FIRST_REST * 2 ** min(self._rests[storage], 10))
            self._rests[storage] += 1

    def worked(self, storage: str) -> None:
        """The storage served a file."""
        self._failed.pop(storage, None)
        self._rests.pop(storage, None)
        self._until.pop(storage, None)

    def resting(self, now: float) -> set[str]:
        """The storages to be left alone now."""
        return {name for name, until in list(self._until.items()) if until > now}
