"""Strangers who open connections without end: those who are signed in are served, and nothing of theirs is cut."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.evidence import record

from .conftest import Starter
from .gateway import TOKENS, Evil
from .wire import Wire

V1: Final = "/api/v1"
FILES: Final = 256  # that the gateway may have open
FLOOD: Final = 300  # connections
ADA: Final = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['ada']}\r\n"
JSON: Final = "Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
WEBSOCKET: Final = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FLOODS: Final = {
    "nothing": "",
    "half a head": f"GET {V1}/storages HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    "half a body": f"POST {V1}/transfers HTTP/1.1\r\n{JSON}{{",
    "a wrong token": f"POST {V1}/transfers HTTP/1.1\r\nAuthorization: Bearer nobody\r\n{JSON}{{",
    "a WebSocket of nobody": f"GET {V1}/events/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n{WEBSOCKET}",
    "requests of nobody": "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.fixture(scope="module")
def poor(start_evil: Starter) -> Iterator[Evil]:
    """A gateway that may open few files."""
    with start_evil(wrapper=("prlimit", f"--nofile={FILES}:{FILES}")) as made:
        yield made


def opened(port: int, said: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 60)
    with contextlib.suppress(OSError):
        connection.sendall(said.encode())
    return connection


def numbers(wire: Wire) -> dict[str, float]:
    """The figures about connections."""
    lines = wire.ask("GET", "/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if "_connections" in line)
            if not name.startswith("#")}  # fmt: skip


@contextlib.contextmanager
def dripping(connections: list[socket.socket]) -> Iterator[None]:
    """A byte now and then on some of them."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.2):
            for connection in connections[::7]:
                with contextlib.suppress(OSError):
                    connection.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("occurrence", FLOODS)
def test_a_flood_of_strangers_cuts_nobody_who_is_signed_in(poor: Evil, occurrence: str) -> None:
    """More connections than files: an upload that is running and a stream of events go on, and others are served."""
    begun, before = time.monotonic(), poor.log.stat().st_size
    upload = opened(poor.port, f"PUT {V1}/files/lab/slow HTTP/1.1\r\n{ADA}Content-Length: 100\r\n\r\n" + "x" * 50)
    events = opened(poor.port, f"GET {V1}/events/ws HTTP/1.1\r\n{ADA}{WEBSOCKET}")
    assert b" 101 " in events.recv(1000)
    strangers: list[socket.socket] = []
    try:
        with dripping(strangers):
            strangers += [opened(poor.port, FLOODS[occurrence]) for _ in range(FLOOD)]
            wire, slowest, served = Wire(poor.port, TOKENS["bo"]), 0.0, 0
            for _ in range(20):
                asked = time.monotonic()
                served += wire.ask("GET", f"{V1}/storages").status == 200
                slowest = max(slowest, time.monotonic() - asked)
            wire.close()
            told = numbers(admin := Wire(poor.port, TOKENS["root"]))
            admin.close()
            upload.sendall(b"y" * 50)
            answer = upload.recv(1000)
        events.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while events.recv(1000):
                pass
    finally:
        for connection in (*strangers, upload, events):
            connection.close()
    grown = poor.log.stat().st_size - before
    good = served == 20 and answer.split(b" ")[1] == b"202" and grown < 1000 * FLOOD
    record("evil.bombs", runs=FLOOD, bad=int(not good), seconds=time.monotonic() - begun, kind="connections",
           occurrence=occurrence, slowest_ms=round(1000 * slowest))  # fmt: skip
    assert served == 20
    assert answer.split(b" ")[1] == b"202", answer
    assert grown < 1000 * FLOOD, "the log is not flooded"
    assert told['scigate_connections{state="idle"}'] + told['scigate_connections{state="busy"}'] <= FILES * 3 // 4
    assert told['scigate_connections{state="busy"}'] >= 3
    assert told['scigate_connections_refused{how="closed"}'] > 0


def test_files_that_run_out_elsewhere_are_waited_for(poor: Evil) -> None:
    """Nothing can be accepted: the processor is not burnt and the log not filled, and it goes on when there is room."""
    was = resource.prlimit(poor.process.pid, resource.RLIMIT_NOFILE, (10, FILES))
    before = poor.log.stat().st_size
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(opened(poor.port, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
        waiting.settimeout(2)
        try:
            with pytest.raises(TimeoutError):
                waiting.recv(1000)
        finally:
            resource.prlimit(poor.process.pid, resource.RLIMIT_NOFILE, was)
        waiting.settimeout(60)
        assert b" 200 " in waiting.recv(1000)
    assert poor.log.stat().st_size - before < 20_000


def test_who_finds_no_room_is_told(start_evil: Starter) -> None:
    """All connections have requests of people signed in: a new one is answered, and served when there is room."""
    with start_evil("[limits]\nconnections = 4\n") as evil, contextlib.ExitStack() as stack:
        following = f"GET {V1}/events HTTP/1.1\r\n{ADA}\r\n"
        held = [stack.enter_context(opened(evil.port, following)) for _ in range(2)]
        held += [stack.enter_context(opened(evil.port, f"GET {V1}/events/ws HTTP/1.1\r\n{ADA}{WEBSOCKET}"))
                 for _ in range(2)]  # fmt: skip
        assert all(b" 200 " in one.recv(1000) for one in held[:2])
        assert all(b" 101 " in one.recv(1000) for one in held[2:])
        reply = evil.wire().ask("GET", f"{V1}/storages")
        assert (reply.status, reply.json["code"]) == (503, "too-many-connections")
        assert reply.is_problem
        assert reply.header("Retry-After")
        assert reply.header("Connection") == "close"
        for one in held[1:]:
            one.close()
        root, end = evil.wire("root"), time.monotonic() + 120
        while (found := root.ask("GET", "/metrics")).status == 503:
            assert time.monotonic() < end
            time.sleep(0.05)
        while numbers(root)['scigate_connections{state="busy"}'] > 2:  # what is left, and this request
            assert time.monotonic() < end
            time.sleep(0.05)
        assert found.status == 200
        assert numbers(root)['scigate_connections_refused{how="answered"}'] >= 1
        assert numbers(root)['scigate_connections_refused{how="closed"}'] == 0


def test_a_flood_closes_its_own_connections_first(start_evil: Starter) -> None:
    """Where addresses tell strangers apart, the one with most connections makes room."""
    with start_evil("[limits]\nconnections = 12\n") as evil, contextlib.ExitStack() as stack:
        other = stack.enter_context(
            socket.create_connection(("127.0.0.1", evil.port), 60, source_address=("127.0.0.2", 0))
        )
        flood = [stack.enter_context(opened(evil.port, "")) for _ in range(40)]
        assert evil.wire().ask("GET", f"{V1}/storages").status == 200
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in other.recv(1000)
        flood[0].settimeout(60)
        assert flood[0].recv(1) == b"", "the oldest went first"
