"""The HTTP client of the data plane, against scripted sockets (what no real server can be made to say) and TLS."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import timedelta

import pytest
from scigate.storage_backends.errors import Throttled, Truncated, Unreachable
from scigate.storage_backends.pace import Pace
from scigate.storage_backends.wire import Pool, Target
from scigate.storage_backends.wire_connection import BUFFER_SIZE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A listening socket that gives each accepted connection to the next of its functions, in a thread."""

    def __init__(self, *plays: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self._threads = [threading.Thread(target=self._serve, args=(plays,), daemon=True)]
        self._threads[0].start()

    @property
    def target(self) -> Target:
        return Target("http", "127.0.0.1", self.port, "/x")

    def _serve(self, plays: tuple[Callable[[socket.socket], None], ...]) -> None:
        with self._listening:  # who accepts closes it: else the next script may get the descriptor that is waited at
            for play in plays:
                try:
                    connection, _ = self._listening.accept()
                except OSError:
                    return
                self.connections += 1
                with connection:
                    play(connection)

    def close(self) -> None:
        with suppress(OSError):  # all its functions have had their turn
            self._listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def scripted(*plays: Callable[[socket.socket], None]) -> Iterator[Script]:
    script = Script(*plays)
    try:
        yield script
    finally:
        script.close()


def read_request(connection: socket.socket, body: int = 0) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        if not got:
            return data
        data += got
    while len(data.partition(b"\r\n\r\n")[2]) < body:
        got = connection.recv(65536)
        if not got:
            break
        data += got
    return data


def says(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer one request after the other on one connection, then close it."""

    def play(connection: socket.socket) -> None:
        for answer in answers:
            read_request(connection)
            connection.sendall(answer)

    return play


def keeping(per_host: int = 256) -> Pool:
    """A pool that keeps its connections, however long the machine stands still between two requests."""
    return Pool(idle=timedelta(hours=1), per_host=per_host)


def get(script: Script, pool: Pool | None = None) -> bytes:
    return (pool or Pool()).request("GET", script.target).read_all()


def test_one_connection_carries_many_requests() -> None:
    with scripted(says(OK, OK, OK)) as script:
        pool = keeping()
        assert [get(script, pool) for _ in range(3)] == [b"ok"] * 3
        assert script.connections == 1


def test_a_connection_the_server_closed_is_replaced() -> None:
    with scripted(says(OK), says(OK)) as script:
        pool = keeping()
        assert get(script, pool) == get(script, pool) == b"ok"
        assert script.connections == 2


def test_a_reused_connection_that_breaks_is_tried_again_only_if_that_is_safe() -> None:
    def answers_once_then_breaks(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(OK)
        read_request(connection)  # and no answer

    with scripted(answers_once_then_breaks, says(OK)) as script:
        pool = keeping()
        assert get(script, pool) == b"ok"
        assert pool.request("PUT", script.target, body=b"data").read_all() == b"ok"
    with scripted(answers_once_then_breaks, says(OK)) as script:
        pool = keeping()
        assert get(script, pool) == b"ok"
        with pytest.raises(Unreachable, match="without an answer"):
            pool.request("POST", script.target, body=b"data")
        assert script.connections == 1


def test_connections_that_nobody_uses_any_more_are_closed() -> None:
    """Also those to servers that are never asked again: else each web server that is pulled from costs a descriptor."""
    ended = [threading.Event() for _ in range(3)]

    def serves(end: threading.Event) -> Callable[[socket.socket], None]:
        def play(connection: socket.socket) -> None:
            read_request(connection)
            connection.sendall(OK)
            if not connection.recv(1):
                end.set()

        return play

    def answers(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(OK)

    with ExitStack() as stack:
        left = [stack.enter_context(scripted(serves(end))) for end in ended]
        again = stack.enter_context(scripted(*[answers] * 5000))
        pool = Pool(idle=timedelta(milliseconds=300))
        assert [get(script, pool) for script in left] == [b"ok"] * 3
        end = time.monotonic() + 120
        while not all(one.is_set() for one in ended) and time.monotonic() < end:
            assert get(again, pool) == b"ok"
            time.sleep(0.05)
        assert all(one.is_set() for one in ended)


def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    with scripted(read_request, says(OK)) as script, pytest.raises(Unreachable):
        get(script)


@pytest.mark.parametrize("size", [1, 65_535, 262_144, 262_145, 3_000_001])
def test_a_body_arrives_whole_whatever_its_size(size: int) -> None:
    data = bytes(i * 7 & 255 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    with scripted(says(head + data, OK)) as script:
        pool = keeping()
        assert b"".join(bytes(piece) for piece in pool.request("GET", script.target)) == data
        assert get(script, pool) == b"ok"
        assert script.connections == 1


def test_a_small_body_is_one_buffer() -> None:
    def in_two_pieces(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        connection.sendall(b"cd")

    with scripted(in_two_pieces) as script:
        assert [bytes(piece) for piece in Pool().request("GET", script.target)] == [b"abcd"]


def test_a_body_that_ends_early_is_truncated() -> None:
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")) as script,
        pytest.raises(Truncated, match="5 of 9 bytes"),
    ):
        get(script)


def test_a_chunked_body_is_joined_and_the_connection_kept() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n"
    with scripted(says(chunked, OK)) as script:
        pool = keeping()
        assert get(script, pool) == b"hello world"
        assert get(script, pool) == b"ok"
        assert script.connections == 1


@pytest.mark.parametrize("body", [b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n"])
def test_a_chunked_body_that_ends_early_is_truncated(body: bytes) -> None:
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)) as script,
        pytest.raises(Truncated),
    ):
        get(script)


@pytest.mark.parametrize("body", [b"-5\r\n", b"0x5\r\nhello\r\n", b"zz\r\n", b"2\r\nhello\r\n", b"f" * 16 + b"\r\n"])
def test_a_malformed_chunk_is_refused(body: bytes) -> None:
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)) as script,
        pytest.raises(Unreachable),
    ):
        get(script)


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.2",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 99 Low",
        b"HTTP/1.1 200 OK\r\n folded: x",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\nspace before : x",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e3",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
    ],
)
def test_an_answer_that_breaks_the_rules_is_refused(head: bytes) -> None:
    with scripted(says(head + b"\r\n\r\nabcd")) as script, pytest.raises(Unreachable):
        get(script)


def test_interim_answers_are_skipped_and_bounded() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with scripted(says(interim * 3 + OK)) as script:
        assert get(script) == b"ok"
    with scripted(says(interim * 50 + OK)) as script, pytest.raises(Unreachable, match="interim"):
        get(script)


def test_head_and_empty_answers_leave_the_connection_usable() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    with scripted(says(head, b"HTTP/1.1 204 No Content\r\n\r\n", OK)) as script:
        pool = keeping()
        answer = pool.request("HEAD", script.target)
        assert answer.headers["content-length"] == "99"
        assert list(answer) == []
        assert pool.request("DELETE", script.target).status == 204
        assert get(script, pool) == b"ok"
        assert script.connections == 1


def test_bytes_after_the_answer_make_the_connection_unusable() -> None:
    with scripted(says(OK + b"HTTP/1.1 200 OK\r\n\r\n"), says(OK)) as script:
        pool = keeping()
        assert get(script, pool) == get(script, pool) == b"ok"
        assert script.connections == 2


def test_a_stalled_server_is_unreachable_after_the_stall_time() -> None:
    done = threading.Event()

    def stalls(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        done.wait(60)

    with scripted(stalls) as script:
        with pytest.raises(Unreachable, match="stalled"):
            get(script, Pool(stall=timedelta(milliseconds=200)))
        done.set()


def test_what_a_stalled_server_has_not_taken_does_not_come_later() -> None:
    over = threading.Event()

    def stalls(connection: socket.socket) -> None:
        read_request(connection)
        poll = select.poll()
        poll.register(connection, 0)  # hang-up and errors alone, without taking any of the data
        if poll.poll(60_000):
            over.set()

    with scripted(stalls) as script:
        with pytest.raises(Unreachable, match="stalled"):
            Pool(stall=timedelta(milliseconds=200)).request("PUT", script.target, body=bytes(32 << 20))
        assert over.wait(60)


def dripping(begin: bytes, drop: bytes, done: threading.Event) -> Callable[[socket.socket], None]:
    """Say ``begin``, then ``drop`` again and again: often enough that no single wait is long."""

    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(begin)
        with suppress(OSError):
            while not done.wait(0.01):
                connection.sendall(drop)

    return play


COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "drop", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"a", "the head of its answer did not come to its end"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n", "16 interim answers|did not come to its end"),
        (b"", b"\r", "the head of its answer did not come to its end"),
        (COUNTED, b"a", "bytes per second are the least"),
        (CHUNKED + b"fffff\r\n", b"a", "bytes per second are the least"),
        (CHUNKED, b"1\r\na\r\n", "bytes per second are the least"),
        (CHUNKED + b"1;", b"a", "a line of its chunked body did not come to its end"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"a: b\r\n", "too many trailers|a line of its chunked body did not come"),
        (ENDLESS, b"a", "bytes per second are the least"),
    ],
)
def test_a_server_that_drips_is_not_waited_for(begin: bytes, drop: bytes, reason: str) -> None:
    for seconds in (1, 2, 4, 8, 16):
        stall = timedelta(seconds=60 if "the least" in reason else seconds)  # where it is not what ends it
        pool = Pool(stall=stall, pace=Pace(10_000, timedelta(seconds=0.3)))
        done, began = threading.Event(), time.monotonic()
        with scripted(dripping(begin, drop, done)) as script:
            with pytest.raises(Unreachable) as refused:
                get(script, pool)
            done.set()
        assert time.monotonic() - began < 120
        if "nothing moved" not in refused.value.message:  # else the machine stood still, and not a drop came
            break
    assert re.search(reason, refused.value.message)


def test_what_has_come_is_passed_on_after_a_second() -> None:
    done = threading.Event()
    with scripted(dripping(COUNTED, b"a", done)) as script:
        with Pool().request("GET", script.target) as answer:
            first = next(iter(answer))
        done.set()
    assert 0 < len(first) < BUFFER_SIZE, "it was not waited for until it was full, which takes most of an hour"


def test_nobody_listening_is_unreachable(free_port: int) -> None:
    with pytest.raises(Unreachable, match="refused"):
        Pool().request("GET", f"http://127.0.0.1:{free_port}/")


def test_read_all_is_bounded() -> None:
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)) as script,
        pytest.raises(Unreachable, match="more than 10 bytes"),
    ):
        Pool().request("GET", script.target).read_all(10)


def test_a_response_closed_early_does_not_give_its_connection_back() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000

    def sends_all_it_can(connection: socket.socket) -> None:
        read_request(connection)
        try:
            connection.sendall(long)
        except OSError:
            return

    with scripted(sends_all_it_can, says(OK)) as script:
        pool = keeping()
        buffers = iter(pool.request("GET", script.target))
        assert next(buffers)
        buffers.close()  # type: ignore[attr-defined]
        assert get(script, pool) == b"ok"
        assert script.connections == 2


@pytest.mark.parametrize(("given", "promised"), [([b"abc"], 4), ([b"abc", b"de"], 4), ([b"abcd", b"e"], 4), ([], 1)])
def test_a_body_of_the_wrong_length_never_becomes_a_complete_request(given: list[bytes], promised: int) -> None:
    seen: list[bytes] = []

    def collects(connection: socket.socket) -> None:
        while got := connection.recv(65536):
            seen.append(got)

    with scripted(collects) as script:
        with pytest.raises(Truncated):
            Pool().request("PUT", script.target, body=iter(given), length=promised)
        for thread in script._threads:
            thread.join(60)
        assert len(b"".join(seen).partition(b"\r\n\r\n")[2]) < promised


def test_a_streamed_body_arrives_whole() -> None:
    seen: list[bytes] = []

    def collects(connection: socket.socket) -> None:
        seen.append(read_request(connection, body=600_000).partition(b"\r\n\r\n")[2])
        connection.sendall(OK)

    pieces = [bytes([n]) * 100_000 for n in range(6)]
    with scripted(collects) as script:
        assert Pool().request("PUT", script.target, body=iter(pieces), length=600_000).read_all() == b"ok"
    assert seen == [b"".join(pieces)]


def test_nothing_is_sent_before_the_first_byte_of_a_body_is_there() -> None:
    seen: list[bytes] = []

    def collects(connection: socket.socket) -> None:
        while got := connection.recv(65536):
            seen.append(got)

    def breaks() -> Iterator[bytes]:
        raise Unreachable("the source broke off")
        yield b""

    with scripted(collects) as script:
        with pytest.raises(Unreachable, match="the source broke off"):
            Pool().request("PUT", script.target, body=breaks(), length=5)
        for thread in script._threads:
            thread.join(60)
    assert seen == []


def test_an_empty_streamed_body_is_sent() -> None:
    with scripted(says(OK)) as script:
        assert Pool().request("PUT", script.target, body=iter([]), length=0).read_all() == b"ok"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_refusal_before_the_body_is_complete_is_heard(streamed: bool) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    def refuses(connection: socket.socket) -> None:
        connection.recv(1024)  # the rest is left unread, so that closing resets the connection
        connection.sendall(refusal)

    body = b"x" * 32_000_000
    with scripted(refuses) as script:
        given = iter([body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000)]) if streamed else body
        answer = Pool().request("PUT", script.target, body=given, length=len(body))
        assert (answer.status, answer.read_all()) == (403, b"no")


@pytest.mark.parametrize("status", [403, 200])
def test_an_answer_within_the_first_piece_of_a_body_ends_the_sending(status: int) -> None:
    """The server reads on: with the other pieces it would get a body with a hole, and then the next request."""
    got, over = [], threading.Event()

    def answers_early_and_reads_on(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nno" % status)
        with suppress(OSError):
            while piece := connection.recv(1 << 20):
                got.append(piece[-1:])
        over.set()

    with scripted(answers_early_and_reads_on) as script:
        pool, pieces = keeping(), [b"1" * 32_000_000, b"2" * 10]
        with nullcontext() if status == 403 else pytest.raises(Unreachable, match="before it had everything"):
            answer = pool.request("PUT", script.target, body=iter(pieces), length=32_000_010)
            assert (answer.status, answer.read_all()) == (403, b"no")
        assert over.wait(120), "the connection is not used again"
    assert b"2" not in got


def test_a_success_before_the_body_is_complete_is_not_believed() -> None:
    def answers_at_once(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(OK)

    with scripted(answers_at_once) as script, pytest.raises(Unreachable):
        Pool().request("PUT", script.target, body=iter([b"x" * 1_000_000] * 32), length=32_000_000)


def test_waiting_for_a_connection_ends() -> None:
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as script:
        pool = Pool(per_host=1)
        with pool.request("GET", script.target), pytest.raises(Throttled, match="all 1 connections"):
            pool._stall = 0.2  # not before the first answer: that may take its time
            pool.request("GET", script.target)


def test_a_waiting_thread_gets_the_connection_that_is_given_back() -> None:
    with scripted(says(*[OK] * 20)) as script:
        pool = keeping(per_host=1)
        got: list[bytes] = []
        threads = [threading.Thread(target=lambda: got.append(get(script, pool))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert got == [b"ok"] * 20
        assert script.connections == 1
