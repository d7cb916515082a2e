"""POST through the one door: every attack on the egress, and receivers that redirect, hang, drip or never end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from scigate.gateway_api.transfers.egress import Egress, EgressPolicy, EgressRefused
from scigate.gateway_api.transfers.egress_post import ANSWER_MAX, Poster, resolve_within
from scigate.storage_backends.errors import StorageError, Unreachable
from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.web_url import InvalidUrl

from tests.gateway_api.transfers.test_egress import VECTORS, Canary, guarded

Serve = Callable[[socket.socket], None]
Listen = Callable[[Serve], str]
SOON = timedelta(milliseconds=700)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture(scope="module")
def guarded_poster(canary: Canary) -> Poster:
    """In a world where every address that is not public is the canary's."""
    return Poster(guarded(canary))


@pytest.fixture
def listen() -> Iterator[Listen]:
    """``listen(serve)`` is the URL of a server that calls ``serve`` with each connection, in a thread."""
    sockets: list[socket.socket] = []

    def start(serve: Serve) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)
        threading.Thread(target=_accept, args=(listening, serve), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/hook"

    yield start
    for listening in sockets:
        listening.close()


def _accept(listening: socket.socket, serve: Serve) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_served, args=(connection, serve), daemon=True).start()


def _served(connection: socket.socket, serve: Serve) -> None:
    with connection, contextlib.suppress(OSError):
        serve(connection)


def poster(within: timedelta = timedelta(minutes=2), **options: object) -> Poster:
    return Poster(Egress(EgressPolicy(allow=("127.0.0.1:*",)), **options), within)  # type: ignore[arg-type]


def request_of(connection: socket.socket) -> bytes:
    """The head and body of a request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def test_what_is_given_is_sent(listen: Listen) -> None:
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        came.append(request_of(connection))
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")

    posted = poster().post(listen(serve) + "?a=b", {"X-One": "1"}, b"{}" * 50_000)
    assert (posted.status, posted.retry_after) == (202, "7")
    head, _, body = came[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-One: 1" in head
    assert body == b"{}" * 50_000


@pytest.mark.parametrize("vector", sorted(set(VECTORS)), ids=ascii)
def test_vector_never_reaches_the_canary(canary: Canary, guarded_poster: Poster, vector: str) -> None:
    url, before = vector.replace("{port}", str(canary.port)), canary.hits
    with pytest.raises(StorageError) as refused:
        guarded_poster.post(url, {}, b"{}")
    assert isinstance(refused.value, InvalidUrl | EgressRefused | Unreachable)
    assert canary.hits == before == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_nothing_more(listen: Listen, canary: Canary, status: int) -> None:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{canary.port}/\r\nContent-Length: 0\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(head.encode())

    assert poster().post(listen(serve), {}, b"{}").status == status
    assert canary.hits == 0


def test_an_endless_body_is_not_read_to_its_end(listen: Listen) -> None:
    sent = [0]
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                sent[0] += connection.send(b"x" * 65536)
        closed.set()

    begun = time.monotonic()
    assert poster().post(listen(serve), {}, b"{}").status == 200, "the event was accepted, whatever came after"
    assert time.monotonic() - begun < 60
    assert closed.wait(60), "the connection is closed"
    assert sent[0] < 200 * ANSWER_MAX


def says_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(60)


def drips_a_head(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.02)


def sends_interim_answers(connection: socket.socket) -> None:
    request_of(connection)
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.1)


def reads_nothing(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    time.sleep(60)


@pytest.mark.parametrize("serve", [says_nothing, drips_a_head, sends_interim_answers, reads_nothing])
def test_a_whole_try_is_bounded(listen: Listen, serve: Serve) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer within"):
        poster(SOON).post(listen(serve), {}, b"x" * 20_000_000)
    assert time.monotonic() - begun < 50


def test_a_dripping_body_is_given_up_and_the_answer_counts(listen: Listen) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    url = listen(serve)
    for within in (SOON, 30 * SOON):  # a machine that stands still may be late with the head
        begun = time.monotonic()
        with contextlib.suppress(Unreachable):
            assert poster(within).post(url, {}, b"{}").status == 201
            assert time.monotonic() - begun < 50
            return
    pytest.fail("the answer did not count")


def test_a_dripping_tls_handshake_is_bounded(listen: Listen) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB, byte by byte
        while True:
            connection.sendall(b"\x02")
            time.sleep(0.02)

    begun = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer within"):
        poster(SOON).post(listen(serve).replace("http:", "https:"), {}, b"{}")
    assert time.monotonic() - begun < 50


def test_a_name_server_that_hangs_is_bounded() -> None:
    released = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        released.wait(60)
        return ["127.0.0.1"]

    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"hooks\.example cannot be found"):
        poster(resolve=resolve_within(0.3, resolve)).post("http://hooks.example/", {}, b"{}")
    assert time.monotonic() - begun < 50
    released.set()


def test_a_name_without_addresses_is_said_at_once() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(Unreachable, match="Name or service not known"):
        poster(resolve=resolve_within(30, resolve)).post("http://hooks.example/", {}, b"{}")


def test_an_unknown_certificate_is_refused(listen: Listen, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("127.0.0.1"))
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            came.append(secured.recv(65536))
            secured.sendall(OK)

    with pytest.raises(Unreachable, match="certificate"):
        poster().post(listen(serve).replace("http:", "https:"), {}, b"{}")
    assert not any(came), "nothing was sent to a stranger"


def test_closing_ends_what_runs_and_begins_nothing(listen: Listen) -> None:
    one, began = poster(), threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        began.set()
        time.sleep(30)

    url, errors = listen(serve), []

    def post() -> None:
        try:
            one.post(url, {}, b"{}")
        except Unreachable as error:
            errors.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    assert began.wait(30)
    one.close()
    thread.join(60)
    assert len(errors) == 1
    with pytest.raises(Unreachable, match="stopping"):
        one.post(url, {}, b"{}")


def test_nothing_is_left_open(listen: Listen) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)

    url, one = listen(serve), poster()
    one.post(url, {}, b"{}")
    before = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(50):
        one.post(url, {}, b"{}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
        if now[0] <= before[0] + 5 and now[1] <= before[1] + 5:
            break
        time.sleep(0.05)
    assert now[0] <= before[0] + 5, "descriptors"
    assert now[1] <= before[1] + 5, "threads"
