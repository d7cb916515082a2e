"""Who says nothing is not waited for; who sends, or is sent to, for long is never cut off."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from scigate.gateway_api.http import server
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

from .conftest import TOKENS, write_settings

SHORT = 1.0  # seconds, in place of a minute
ADA = f"Authorization: Bearer {TOKENS['ada']}\r\n"
JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "IDLE", SHORT)
        patch.setattr(server, "BODY_TIMEOUT", SHORT)
        service = build(Settings.load(write_settings(tmp_path_factory.mktemp("gateway"))))
        service.start()
    yield service
    service.stop()


@contextmanager
def connected(service: Service, said: str = "") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(said.encode())
        yield connection


@contextmanager
def answered(service: Service, said: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection that was heard, and the first bytes of its answer. One on which this machine stands still before it
    has said anything is hung up on: it is tried again."""
    for _ in range(20):
        began, answer = time.monotonic(), b""
        with closing(socket.create_connection(("127.0.0.1", service.port), timeout=60)) as connection:
            with suppress(ConnectionError):
                connection.sendall(said.encode())
                answer = connection.recv(1 << 16)
            if answer:
                yield connection, answer
                return
        assert time.monotonic() - began >= SHORT * 0.9, "it was closed before its time"
    raise AssertionError("it was never answered")


def head(method: str, path: str, headers: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "G",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: y",
        head("GET", "/healthz", "Content-Length: 9\r\n"),
        head("GET", "/nowhere", "Content-Length: 9\r\n"),
        head("POST", "/api/v1/transfers", "Content-Length: 9\r\n"),
        head("POST", "/api/v1/transfers", "Content-Length: 9\r\nAuthorization: Bearer wrong\r\n" + JSON),
        head("POST", "/api/v1/transfers", "Content-Length: 9\r\n" + ADA + JSON),
        head("POST", "/api/v1/transfers", "Transfer-Encoding: chunked\r\n" + ADA + JSON),
        head("PUT", "/api/v1/files/lab/a", "Content-Length: 9\r\n"),
        head("PATCH", "/api/v1/uploads/nothing", "Content-Length: 9\r\nTus-Resumable: 1.0.0\r\n"),
        head("POST", "/api/v1/webhooks", "Content-Length: 9\r\n" + ADA + JSON) + "{",
    ],
)
def test_who_does_not_go_on_is_hung_up_on(impatient: Service, said: str) -> None:
    with suppress(ConnectionError), connected(impatient, said) as connection:  # who is late is reset
        while connection.recv(1 << 16):
            pass


def test_a_connection_is_closed_between_requests(impatient: Service) -> None:
    began = time.monotonic()
    with answered(impatient, head("GET", "/healthz")) as (connection, answer):
        while connection.recv(1 << 16):
            pass
        assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began >= SHORT * 0.9


def test_a_slow_upload_is_not_cut_off(impatient: Service) -> None:
    for _ in range(20):  # on a machine that stands still for so long that somebody who pauses looks the same
        pause, answer = sent_slowly(impatient)
        if pause < SHORT / 2:
            break
    assert answer.split(b" ")[1] in (b"200", b"201", b"202", b"204"), (pause, answer)


def sent_slowly(service: Service) -> tuple[float, bytes]:
    """The longest pause that was made, here or by the gateway's loop, in seconds, and the answer; empty if it was cut
    off."""
    said = head("PUT", "/api/v1/files/lab/slow", f"Content-Length: 30\r\nConnection: close\r\n{ADA}")
    loop, pauses, answer = service._http._loop, [0.0], b""
    assert loop is not None
    watching = asyncio.run_coroutine_threadsafe(paused(pauses), loop)
    try:
        last = time.monotonic()
        with suppress(ConnectionError), connected(service, said) as connection:
            for _ in range(30):
                time.sleep(SHORT / 20)
                connection.sendall(b"x")
                pauses.append(time.monotonic() - last)
                last = time.monotonic()
            answer = connection.recv(1 << 16)
        pauses.append(0.0 if answer else time.monotonic() - last)
    finally:
        watching.cancel()
    return max(pauses), answer


async def paused(pauses: list[float]) -> None:
    """Notes how long the event loop stands still."""
    while True:
        last = time.monotonic()
        await asyncio.sleep(SHORT / 20)
        pauses.append(time.monotonic() - last)


def test_a_stream_of_events_is_not_cut_off(impatient: Service) -> None:
    said = head("GET", "/api/v1/events", f"Accept: text/event-stream\r\n{ADA}")
    with answered(impatient, said) as (connection, answer):
        assert answer.startswith(b"HTTP/1.1 200 ")
        connection.settimeout(SHORT * 3)
        with pytest.raises(TimeoutError):
            while connection.recv(1 << 16):
                pass
