"""The feed: follows the journal while somebody listens, also what others write."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Set
from typing import Any

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.events import feed as module
from scigate.gateway_api.events.feed import Feed
from scigate.gateway_api.events.ring import Interest

from .conftest import ADAS, BOS, Book

ALL = Interest(None, ("transfers",))


@pytest.fixture
def feed(book: Book) -> Iterator[Feed]:
    feed = Feed(book.journal)
    book.database.on_commit.append(feed.committed)
    feed.start()
    yield feed
    feed.stop()


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Set[str] | None] = []
        self.any = threading.Event()

    def __call__(self, keys: Set[str] | None) -> None:
        self.told.append(keys)
        self.any.set()

    def wait(self, condition: Any = None) -> None:
        end = time.monotonic() + 120
        while not (condition() if condition else self.told):
            assert time.monotonic() < end, self.told
            self.any.wait(0.1)
            self.any.clear()


def test_it_tells_who_is_concerned_and_gives_the_lines(book: Book, feed: Feed) -> None:
    before = book.write(ADAS)
    listener = Listener()
    feed.listen(listener)
    listener.wait()
    assert listener.told[0] is None, "at first: perhaps something has happened"
    id = book.write(BOS)
    listener.wait(lambda: len(listener.told) > 1)
    assert listener.told[1] == {"*", "owner:bo", f"transfer:{BOS}"}
    found = feed.take(ALL, before, 10)
    assert found is not None
    assert [line.id for line in found.lines] == [id]
    assert feed.take(ALL, before - 1, 10) is None, "that is older than what is in memory"


def test_what_another_gateway_writes_is_seen_too(book: Book, feed: Feed) -> None:
    listener = Listener()
    feed.listen(listener)
    listener.wait()
    other = Database(book.url)
    try:
        id = other.write(book.line(ADAS))
    finally:
        other.close()
    listener.wait(lambda: len(listener.told) > 1)
    found = feed.take(ALL, id - 1, 10)
    assert found is not None
    assert [line.id for line in found.lines] == [id]


def test_it_rests_while_nobody_listens(book: Book, feed: Feed) -> None:
    listener = Listener()
    end = feed.listen(listener)
    listener.wait()
    end()
    told = list(listener.told)
    id = book.write(ADAS)
    assert feed.take(ALL, id - 1, 10) is None
    assert listener.told == told


def test_it_rests_when_the_last_listener_goes_while_it_begins(
    book: Book, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, begun, gone = book.journal, threading.Event(), threading.Event()
    newest = journal.newest

    def slowly() -> int:
        found = newest()
        begun.set()
        assert gone.wait(120)
        return found

    monkeypatch.setattr(journal, "newest", slowly)
    feed._journal = journal
    end = feed.listen(lambda keys: None)
    assert begun.wait(120)
    end()
    id = book.write(ADAS)
    gone.set()
    feed.stop()
    assert feed.take(ALL, id - 1, 10) is None


def test_it_survives_a_database_that_does_not_answer(book: Book, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY", 0.05)
    listener, journal = Listener(), feed._journal
    feed.listen(listener)
    listener.wait()
    closed = Database(book.url)
    broken = type(journal)(closed)
    closed._reader.dispose()
    monkeypatch.setattr(closed, "read", _unavailable)
    feed._journal = broken
    id = book.write(ADAS)
    time.sleep(0.3)
    feed._journal = journal
    listener.wait(lambda: len(listener.told) > 1)
    found = feed.take(ALL, id - 1, 10)
    assert found is not None
    assert [line.id for line in found.lines] == [id]
    closed.close()


def _unavailable() -> Any:
    raise module.DatabaseUnavailable("the database cannot be read")
