"""Who says nothing is not waited for; who sends, or is sent to, for long is never cut off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
    with connected(impatient, said) as connection:
        while connection.recv(1 << 16):
            pass


def test_a_connection_is_closed_between_requests(impatient: Service) -> None:
    began, answer = time.monotonic(), b""
    with connected(impatient, head("GET", "/healthz")) as connection:
        while piece := connection.recv(1 << 16):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began >= SHORT * 0.9


def test_a_slow_upload_is_not_cut_off(impatient: Service) -> None:
    for _ in range(20):  # on a machine that stands still for so long that somebody who pauses looks the same
        pause, answer = sent_slowly(impatient)
        if pause < SHORT / 2:
            break
    assert answer.split(b" ")[1] in (b"200", b"201", b"202", b"204"), (pause, answer)


def sent_slowly(service: Service) -> tuple[float, bytes]:
    """The longest pause that was made, in seconds, and the answer; empty if it was cut off."""
    said = head("PUT", "/api/v1/files/lab/slow", f"Content-Length: 30\r\nConnection: close\r\n{ADA}")
    with connected(service, said) as connection:
        last, longest = time.monotonic(), 0.0
        try:
            for _ in range(30):
                time.sleep(SHORT / 20)
                connection.sendall(b"x")
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            return longest, connection.recv(1 << 16)
        except ConnectionError:
            return max(longest, time.monotonic() - last), b""


def test_a_stream_of_events_is_not_cut_off(impatient: Service) -> None:
    said = head("GET", "/api/v1/events", f"Accept: text/event-stream\r\n{ADA}")
    with connected(impatient, said) as connection:
        assert b" 200 " in connection.recv(1 << 16)
        connection.settimeout(SHORT * 3)
        with pytest.raises(TimeoutError):
            while connection.recv(1 << 16):
                pass
