"""The use cases of events: who may follow what, from where on; tickets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..actor import Actor
from ..policy import owner_seen
from ..problems import Problem, not_found
from ..resources import Event, Ticket
from .feed import Feed
from .journal import Journal, Scan
from .live import Live
from .pages import Pages
from .ring import Interest
from .tickets import Tickets
from .topics import check_topics, check_types, transfers_of

PAGE: Final = 200
"""Lines in one page for who is behind the feed."""


@dataclass(frozen=True, slots=True)
class Following:
    """Somebody who follows: what, and from behind which id."""

    interest: Interest
    cursor: int


class Events:
    """What people can do with events. Every method but ``take`` may block; refusals are ``Problem``."""

    def __init__(self, journal: Journal, feed: Feed, tickets: Tickets, live: Live) -> None:
        self.feed = feed
        self._journal, self._tickets, self._live, self._pages = journal, tickets, live, Pages()
        self.actor_named: Callable[[str], Actor | None] = lambda name: None
        """Finds a user of the settings by name."""
        self.is_moving: Callable[[], bool] = lambda: False
        """Whether this gateway moves files now: then less time goes to telling. Must be quick."""

    def follow(self, actor: Actor, topics: Sequence[str], types: Sequence[str], after: str | None) -> Following:
        """Begin to follow: behind the id ``after``, or from now on. 404 for a transfer that the actor cannot see."""
        interest = Interest(owner_seen(actor), check_topics(topics), check_types(types))
        named = transfers_of(interest.topics)
        missing = set(named) - self._journal.visible(named, interest.owner)
        if missing:
            raise not_found("transfer", min(missing))
        newest = self._journal.newest()
        return Following(interest, newest if after is None else _cursor(after, newest))

    def take(self, interest: Interest, after: int, most: int) -> Scan | None:
        """The next lines behind ``after`` that are in memory; None: ask for a ``page``, then again."""
        found = self.feed.take(interest, after, most)
        return self._pages.take(interest, after, most) if found is None else found

    def page(self, interest: Interest, after: int) -> Scan:
        """The next lines behind ``after`` from the database. A page that is not the last can then be taken from."""
        owner, topics, types = interest.owner, interest.topics, interest.types
        found = self._journal.scan(after, PAGE, owner=owner, topics=topics, types=types)
        for line in found.lines:
            _ = line.text  # made here, in a thread, instead of where it would keep others waiting
        self._pages.add(interest, after, found)
        return found

    def sample(self, keys: Collection[str]) -> Mapping[str, Sequence[Event]]:
        """How far the transfers are that move now, by the keys of ``ring``."""
        return self._live.sample(keys)

    def ticket(self, actor: Actor) -> Ticket:
        """A ticket with which a browser opens one WebSocket as this actor."""
        return self._tickets.create(actor.id)

    def redeem(self, ticket: str) -> Actor:
        """Who made this ticket; it is used up. Raises ``Problem`` 401."""
        name = self._tickets.redeem(ticket)
        actor = None if name is None else self.actor_named(name)
        if actor is None:
            raise Problem(401, "ticket-refused", "This ticket is unknown, used or older than a minute.",
                          next_step="Make a new one with POST /api/v1/tickets, and use it at once.")  # fmt: skip
        return actor


def _cursor(after: str, newest: int) -> int:
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise Problem(422, "invalid-cursor", f"{after[:40]!r} is not the id of an event.",
                      next_step="Use the id of the last event you saw, or begin without one.")  # fmt: skip
    if int(after) > newest:
        raise Problem(422, "invalid-cursor", f"There is no event {after} yet: the last one is {newest}.",
                      next_step="It is of another gateway, or of an older journal: begin without one.")  # fmt: skip
    return int(after)
