"""Several gateways write one journal: whoever goes on behind the last id that they saw misses nothing."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scigate.gateway_api.db import database as module
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.events.journal import Journal
from scigate.gateway_api.transfers.lease import Lease
from sqlalchemy import Connection, text

from .conftest import ADAS, BOS, Book

ALL = ("transfers",)
PATIENT = str(module._TAKE_TURN).replace("10s", "250s").replace("20s", "250s")
IMPATIENT = str(module._TAKE_TURN).replace("10s", "300ms")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody loses a turn, or gives up waiting for one, because this machine stands still."""
    monkeypatch.setattr(module, "_TAKE_TURN", text(PATIENT))
    monkeypatch.setattr(module, "PATIENCE", 250.0)


@pytest.fixture
def other(shared_book: Book) -> Iterator[Database]:
    """The database as a second gateway has it open."""
    database = Database(shared_book.url)
    yield database
    database.close()


class Slow:
    """A job that has written its line, and is not committed before ``go``. ``borne``: how long its first try may stay
    like that, counted from there on."""

    def __init__(self, book: Book, borne: str | None = None) -> None:
        self._line, self._borne = book.line(ADAS), borne
        self.written, self.go = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> int:
        number = self._line(connection)
        if self._borne and not self.written.is_set():
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{self._borne}'"))
        self.written.set()
        self.go.wait(120)
        return number


def seen_early(book: Book, other: Database, within: float) -> tuple[list[int], list[int]]:
    """The ids that become visible while an earlier line is not committed yet, and those that are at the end."""
    slow = Slow(book)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(book.database.write, slow)
        assert slow.written.wait(120)
        second = pool.submit(other.write, book.line(BOS))
        end = time.monotonic() + within
        while not (early := [line.id for line in book.journal.scan(0, 10, owner=None, topics=ALL).lines]):
            if time.monotonic() > end:
                break
        slow.go.set()
        assert first.result(120) < second.result(120)
    return early, [line.id for line in book.journal.scan(0, 10, owner=None, topics=ALL).lines]


def test_no_line_is_seen_before_one_with_a_smaller_id(shared_book: Book, other: Database) -> None:
    early, late = seen_early(shared_book, other, within=1)
    assert early == []
    assert late == [1, 2]


def test_without_taking_turns_a_line_would_be_missed(
    shared_book: Book, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The danger is real, so the test above proves something."""
    monkeypatch.setattr(module, "_TAKE_TURN", text("SELECT 1"))
    early, late = seen_early(shared_book, other, within=100)
    assert early == [2]
    assert late == [1, 2]


def test_a_follower_of_two_racing_gateways_sees_every_line_once(shared_book: Book, other: Database) -> None:
    rng = random.Random(3)
    pauses = [rng.random() / 200 for _ in range(400)]

    def write(number: int) -> int:
        line = shared_book.line(ADAS)

        def job(connection: Connection) -> int:
            id = line(connection)
            time.sleep(pauses[number])
            return id

        return (shared_book.database if number % 2 else other).write(job)

    seen: list[int] = []
    with ThreadPoolExecutor(16) as pool:
        written = [pool.submit(write, number) for number in range(len(pauses))]
        end = time.monotonic() + 240
        while len(seen) < len(written) and time.monotonic() < end:
            after = seen[-1] if seen else 0
            seen += [int(one.id) for one in shared_book.journal.read(after, 7, owner=None, topics=ALL)]
    assert seen == sorted(future.result() for future in written)


def test_a_gateway_that_freezes_in_its_turn_loses_it(
    shared_book: Book, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TAKE_TURN", text(IMPATIENT))
    slow = Slow(shared_book)
    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(shared_book.database.write, slow)
        assert slow.written.wait(120)
        monkeypatch.setattr(module, "_TAKE_TURN", text(PATIENT))
        assert other.write(shared_book.line(BOS)) > 0, "it waits for the frozen one no longer than that"
        slow.go.set()
        assert frozen.result(120) > 0, "it begins anew"
    assert len(shared_book.journal.read(0, 10, owner=None, topics=ALL)) == 2


def test_a_lease_is_renewed_while_another_gateway_is_frozen_in_its_turn(
    shared_book: Book, other: Database, tmp_path: Path
) -> None:
    lease = Lease(other, tmp_path, 0.6)
    lease.start()
    slow = Slow(shared_book)
    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(shared_book.database.write, slow)
        assert slow.written.wait(120)
        held, end = lease._renewed, time.monotonic() + 120
        while lease._renewed < held + 0.6:
            assert time.monotonic() < end, "it waits for the other's turn"
            time.sleep(0.02)
        slow.go.set()
        assert frozen.result(120) > 0
    lease.end()


def test_readers_take_no_turns(shared_book: Book, other: Database) -> None:
    slow = Slow(shared_book)
    with ThreadPoolExecutor(2) as pool:
        frozen = pool.submit(shared_book.database.write, slow)
        assert slow.written.wait(120)
        assert pool.submit(Journal(other).newest).result(120) == 0, "what is not committed is not seen, nor waited for"
        assert not frozen.done()
        slow.go.set()
        assert frozen.result(120) > 0


def test_who_was_frozen_for_longer_than_the_patience_still_begins_anew(
    shared_book: Book, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    slow = Slow(shared_book, borne="300ms")
    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(shared_book.database.write, slow)
        assert slow.written.wait(120)
        assert other.write(shared_book.line(BOS)) > 0
        slow.go.set()
        assert frozen.result(120) > 0


def test_a_connection_that_dies_in_a_turn_is_replaced_and_the_turn_begins_anew(
    shared_book: Book, other: Database
) -> None:
    slow = Slow(shared_book)
    with ThreadPoolExecutor(1) as pool:
        broken = pool.submit(shared_book.database.write, slow)
        assert slow.written.wait(120)
        with other.read() as connection:
            killed = connection.execute(text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )).all()  # fmt: skip
        assert len(killed) == 1
        slow.go.set()
        assert broken.result(120) > 0
    assert len(shared_book.journal.read(0, 10, owner=None, topics=ALL)) == 1


def test_a_server_that_vanishes_is_noticed_by_the_kernel(shared_book: Book) -> None:
    with shared_book.database.read() as connection, socket.socket(fileno=os.dup(_descriptor(connection))) as one:
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


def _descriptor(connection: Connection) -> int:
    return int(connection.connection.driver_connection.fileno())  # type: ignore[union-attr]
