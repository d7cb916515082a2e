"""Events, put together: the feed that follows the journal, and what people can do with it."""

from __future__ import annotations

import resource
from collections.abc import Callable

from .db.database import Database
from .events.feed import Feed
from .events.following import Events
from .events.journal import Journal
from .events.live import Live, Moving
from .events.tickets import Tickets


def raise_descriptors() -> None:
    """Let this process have as many files and sockets open as the system grants it: each follower is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def events(database: Database, moving: Moving, arriving: Moving, known: Callable[[str], int]) -> tuple[Events, Feed]:
    """The use cases and the feed, which is not started yet; it is woken by the commits of ``database``.

    ``moving``, ``arriving``, ``known``: see ``Live``.
    """
    journal = Journal(database)
    feed = Feed(journal)
    database.on_commit.append(feed.committed)
    return Events(journal, feed, Tickets(database), Live(journal, moving, arriving, known)), feed
