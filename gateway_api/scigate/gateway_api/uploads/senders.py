"""Who is sending now, and how much room each of them will still need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from .banker import Claim

ACTIVE: Final = timedelta(seconds=60)
"""So long after its last byte a sender that is between two requests counts as one who goes on."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an upload will need until it is complete. ``rest``: bytes that have no room yet, None if its length is not
    known: then nothing is kept for it. ``most``: so many of it suffice at once, None: all; ``returns``: see ``Claim``.
    """

    rest: int | None
    most: int | None = None
    returns: bool = True

    def need(self, held: int) -> int:
        """Bytes beyond those ``held``."""
        rest = max(self.rest or 0, 0)
        return rest if self.most is None else min(rest, max(self.most - held, 0))


@dataclass(slots=True)
class _Sender:
    demand: Demand
    is_open: bool = True
    seen: float = float("-inf")


class Senders:
    """Not thread-safe: ``Staging`` locks. Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._senders: dict[str, _Sender] = {}
        self._incomplete: set[str] = set()  # those whose demand has a rest

    def ask(self, name: str, demand: Demand) -> None:
        """A request for this upload wants room."""
        sender = self._senders.setdefault(name, _Sender(demand))
        sender.is_open = True
        self._demands(name, sender, demand)

    def took(self, name: str, count: int, now: float) -> None:
        """It has got some."""
        if sender := self._senders.get(name):
            old, sender.seen = sender.demand, now
            self._demands(name, sender, Demand(None if old.rest is None else old.rest - count, old.most, old.returns))

    def leave(self, name: str, demand: Demand) -> None:
        """The request is over; perhaps the next one comes."""
        if sender := self._senders.get(name):
            sender.is_open = False
            self._demands(name, sender, demand)

    def forget(self, name: str) -> None:
        """Nothing of the upload is here any more."""
        self._senders.pop(name, None)
        self._incomplete.discard(name)

    def needed(self, shares: Mapping[str, int]) -> int:
        """At most so many bytes all of them together will need. Those that are here whole do not cost a look: of small
        files there may be thousands until they are swept."""
        return sum(self._senders[name].demand.need(shares.get(name, 0)) for name in self._incomplete)

    def claims(self, shares: Mapping[str, int], now: float) -> dict[str, Claim]:
        """The claims of those who are active. What others hold is held, whoever they are."""
        since = now - ACTIVE.total_seconds()
        return {
            name: Claim(held := shares.get(name, 0), sender.demand.need(held), sender.demand.returns)
            for name, sender in self._senders.items()
            if sender.is_open or sender.seen >= since
        }

    def _demands(self, name: str, sender: _Sender, demand: Demand) -> None:
        sender.demand = demand
        if demand.rest:
            self._incomplete.add(name)
        else:
            self._incomplete.discard(name)
