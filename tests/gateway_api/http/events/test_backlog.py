"""Who reads goes before who does not, and files go before both."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from scigate.gateway_api.actor import Actor
from scigate.gateway_api.events.following import Following
from scigate.gateway_api.events.journal import Line, Scan
from scigate.gateway_api.events.ring import Interest
from scigate.gateway_api.http.events import fanout as module
from scigate.gateway_api.http.events.backlog import Backlog
from scigate.gateway_api.http.events.fanout import Connection, Fanout, Progress, Reader

ALL = Interest(None, ("transfers",))
LINE = Line(1, "ada", "a" * 32, "file.published", None)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = socket.create_connection(server.getsockname())
        here, _ = server.accept()
    with here, there:
        yield here, there


def test_what_is_read_is_no_backlog_and_what_is_not_is(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    backlog = Backlog(here)
    for number in range(20):
        here.sendall(bytes(4000 + 100 * number))
        assert backlog.is_read(4000 + 100 * number), "but for the last write, which it has not got yet"
        there.recv(4000 + 100 * number, socket.MSG_WAITALL)
    unread, seems_read = 0, True
    while unread < 80_000 or seems_read:  # once it does if the kernel was late to acknowledge the last one
        assert unread < 400_000
        here.sendall(bytes(4000))
        unread, seems_read = unread + 4000, backlog.is_read(4000)
    there.recv(unread, socket.MSG_WAITALL)
    here.sendall(bytes(4000))
    assert backlog.is_read(4000)
    here.close()
    assert backlog.is_read(4000)


class Fixed(Backlog):
    """Reads, or not."""

    def __init__(self, *, reads: bool) -> None:
        self._reads = reads

    def is_read(self, written: int) -> bool:
        return self._reads


class Quick(Connection):
    """A socket that takes everything at once; remembers whose turn it was."""

    def __init__(self, unread: int, turns: list[int]) -> None:
        super().__init__(Actor("ada", "ada"))
        self.backlog, self._unread, self._turns = Fixed(reads=unread == 0), unread, turns

    def write_lines(self, reader: Reader, lines: Sequence[Line]) -> asyncio.Future[None]:
        self._turns.append(self._unread)
        return self._taken_at_once()

    def write_progress(self, told: Progress) -> asyncio.Future[None]:
        return self._taken_at_once()

    def write_heartbeat(self) -> asyncio.Future[None]:
        return self._taken_at_once()

    def end(self) -> None: ...

    def abort(self) -> None: ...

    def _taken_at_once(self) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class OneLine:
    """A journal with one line, which takes ``work`` seconds of the processor to tell."""

    def __init__(self, work: float = 0.0, *, moving: bool = False) -> None:
        self._work, self._moving, self.feed = work, moving, self

    def is_moving(self) -> bool:
        return self._moving

    def listen(self, heard: Any) -> Any:
        return lambda: None

    def take(self, interest: Interest, after: int, most: int) -> Scan:
        end = time.thread_time() + self._work
        while time.thread_time() < end:
            pass
        return Scan([LINE] if after == 0 else [], 1, end=True)


async def serve(events: Any, unread: Sequence[int]) -> list[int]:
    """Whose turns it was, one after the other, named by how much each has not read."""
    turns: list[int] = []
    fanout = Fanout(events, None, most=1000, most_per_user=1000)  # type: ignore[arg-type]
    fanout.start()
    for one in unread:
        connection = Quick(one, turns)
        fanout.admit(connection)
        fanout.follow(Reader(connection, Following(ALL, 0), progress=False))
    while len(turns) < len(unread):
        await asyncio.sleep(0.001)
    for task in fanout._tasks:
        task.cancel()
    return turns


class Page(OneLine):
    """Its first line has to be loaded; while that goes on there is news."""

    def listen(self, heard: Any) -> Any:
        self._heard = heard
        return lambda: None

    def take(self, interest: Interest, after: int, most: int) -> Scan | None:
        return None if after == 0 else Scan([LINE] if after == 1 else [], 2, end=True)

    def page(self, interest: Interest, after: int) -> Scan:
        self._heard({"*"})
        return Scan([LINE], 1, end=True)


def test_news_while_a_page_is_loaded_is_not_missed() -> None:
    async def turns() -> list[int]:
        found: list[int] = []
        events: Any = Page()
        fanout = Fanout(events, asyncio.to_thread, most=10, most_per_user=10)
        fanout.start()
        connection = Quick(0, found)
        fanout.admit(connection)
        fanout.follow(Reader(connection, Following(ALL, 0), progress=False))
        end = time.monotonic() + 120
        while len(found) < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.001)
        for task in fanout._tasks:
            task.cancel()
        return found

    assert len(asyncio.run(turns())) == 2


SLEEPING = 1


def test_who_reads_goes_before_a_crowd_that_does_not() -> None:
    turns = asyncio.run(serve(OneLine(), [SLEEPING] * 300 + [0]))
    assert turns[0] == 0
    assert len(turns) == 301, "the others get theirs"


def test_who_does_not_read_still_gets_a_turn_among_those_who_do() -> None:
    turns = asyncio.run(serve(OneLine(), [SLEEPING] * 2 + [0] * 300))
    assert turns.index(SLEEPING) == module.LATER


def test_files_that_move_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By how long it is to rest, and not by how long that takes: this depends on the machine."""
    rest, sleep, asked, worked = Fanout._rest, asyncio.sleep, list[float](), list[float]()
    here = threading.get_ident()

    async def at_once(seconds: float) -> None:
        if threading.get_ident() == here:
            asked.append(seconds)

    async def noted(fanout: Fanout, spent: float) -> None:
        worked.append(spent)
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", at_once)
            await rest(fanout, spent)
        await sleep(0)

    monkeypatch.setattr(Fanout, "_rest", noted)

    def times_as_long(*, moving: bool) -> float:
        asked.clear()
        worked.clear()
        asyncio.run(serve(OneLine(module.SLICE, moving=moving), [0] * 10))
        assert sum(worked) > 9 * module.SLICE
        return sum(asked) / sum(worked)

    assert times_as_long(moving=True) == pytest.approx(module.REST_WHILE_MOVING)
    assert times_as_long(moving=False) == pytest.approx(module.REST)
    assert module.REST_WHILE_MOVING > 2 * module.REST
