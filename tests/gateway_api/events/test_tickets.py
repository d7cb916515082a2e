"""Tickets: once, soon, and known nowhere but to who has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.schema import ticket
from scigate.gateway_api.events import tickets as module
from scigate.gateway_api.events.tickets import MOST, Tickets
from scigate.gateway_api.problems import Problem
from sqlalchemy import select, update

from .conftest import Book


@pytest.fixture(autouse=True)
def an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """They live so long that none expires while a machine stands still."""
    monkeypatch.setattr(module, "LIFETIME", timedelta(hours=1))


def test_a_ticket_is_good_once_also_at_another_gateway_of_the_database(book: Book) -> None:
    word = Tickets(book.database).create("ada").ticket
    other = Database(book.url)
    try:
        assert Tickets(other).redeem(word) == "ada"
    finally:
        other.close()
    assert Tickets(book.database).redeem(word) is None


def test_of_many_who_use_it_at_once_one_gets_in(book: Book) -> None:
    tickets = Tickets(book.database)
    word = tickets.create("ada").ticket
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: tickets.redeem(word), range(50)))
    assert (answers.count("ada"), answers.count(None)) == (1, 49)


def test_it_expires(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIFETIME", timedelta(seconds=-1))
    tickets = Tickets(book.database)
    assert tickets.redeem(tickets.create("ada").ticket) is None


def test_the_database_does_not_know_it(book: Book) -> None:
    word = Tickets(book.database).create("ada").ticket
    assert len(word) >= 22, "128 bits"
    with book.database.read() as connection:
        assert word not in str(connection.execute(select(ticket)).all())


def test_nobody_hoards_tickets_and_old_ones_make_room(book: Book) -> None:
    tickets = Tickets(book.database)
    for _ in range(MOST):
        tickets.create("ada")
    with pytest.raises(Problem) as caught:
        tickets.create("ada")
    assert (caught.value.status, caught.value.retriable) == (429, True)
    assert tickets.create("bo").ticket
    book.database.write(lambda c: c.execute(update(ticket).values(expires=1.0)) and None)
    assert tickets.create("ada").ticket


@pytest.mark.parametrize("word", ["", "x", "é", "a" * 10_000, "%00"])
def test_nonsense_is_no_ticket(book: Book, word: str) -> None:
    assert Tickets(book.database).redeem(word) is None
