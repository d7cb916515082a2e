"""Servers that lie, break off or never end: no wrong byte is passed on as right, and nothing is waited for for ever.

The server is a fault injector: what it says is what no real server can be made to say.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeAlias

import pytest
from scigate.storage_backends.errors import (
    AccessDenied,
    CredentialRefused,
    NotFound,
    SourceChanged,
    StorageError,
    Throttled,
    Truncated,
    Unreachable,
    Unsupported,
)
from scigate.storage_backends.http import UrlSource, redirects_within
from scigate.storage_backends.wire import Pool, Target

DATA: Final = bytes(range(256)) * 40
SIZE: Final = len(DATA)
ETAG: Final = 'ETag: "one"'
VERSION: Final = 'etag "one"'

Answer: TypeAlias = bytes | Iterable[bytes]
Play: TypeAlias = Callable[["Asked"], Answer]


class Asked:
    """A request as it came."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw.decode("latin-1")
        self.method = self.raw.split(" ", 1)[0]
        found = re.search(r"\r\nRange: bytes=(\d+)-(\d*)\r\n", self.raw)
        self.first = int(found[1]) if found else 0
        self.last = int(found[2]) if found and found[2] else SIZE - 1
        self.ranged = found is not None


class Liar:
    """Answers each request, one per connection, with what the play says, piece by piece."""

    def __init__(self, play: Play) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._play = play
        self.port: int = self._listening.getsockname()[1]
        self.asked: list[Asked] = []
        self._over = False
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            raw = b""
            while b"\r\n\r\n" not in raw:
                if not (got := connection.recv(65536)):
                    return
                raw += got
            self.asked.append(Asked(raw))
            answer = self._play(self.asked[-1])
            for piece in [answer] if isinstance(answer, bytes) else answer:
                if self._over:  # one that never ends does not notice by itself when it has nothing to say
                    return
                connection.sendall(piece)

    def source(self, name: str = "file.bin", stall: float = 60) -> UrlSource:
        pool = Pool(stall=timedelta(seconds=stall))
        return UrlSource(Target("http", "127.0.0.1", self.port, f"/{name}?key=canary"), pool, redirects_within(()))

    def close(self) -> None:
        """Closed only when nobody accepts any more: the next liar may get the same descriptor."""
        self._over = True
        self._listening.shutdown(socket.SHUT_RDWR)
        self._serving.join()
        self._listening.close()


@contextmanager
def lying(play: Play) -> Iterator[Liar]:
    liar = Liar(play)
    try:
        yield liar
    finally:
        liar.close()


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *headers, "Connection: close", "", ""]).encode("latin-1") + body


def honest(asked: Asked) -> bytes:
    """Ranges, a strong ETag and the right bytes."""
    if asked.method == "HEAD":
        return answer(200, f"Content-Length: {SIZE}", "Accept-Ranges: bytes", ETAG)
    part = DATA[asked.first : asked.last + 1]
    if not asked.ranged:
        return answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA)
    return answer(206, f"Content-Length: {len(part)}", _range(asked.first, asked.last), ETAG, body=part)


def _range(first: int, last: int, size: int | str = SIZE) -> str:
    return f"Content-Range: bytes {first}-{last}/{size}"


def read(source: UrlSource, offset: int = 100, length: int | None = 1000, version: str | None = VERSION) -> bytes:
    return b"".join(map(bytes, source.read(source.path, offset, length, version=version)))


def test_what_an_honest_server_is_asked() -> None:
    with lying(honest) as liar:
        source = liar.source()
        entry = source.stat("file.bin")
        assert (entry.size, entry.version) == (SIZE, VERSION)
        assert read(source) == DATA[100:1100]
        assert read(source, 0, None) == DATA
        assert read(source, SIZE - 5, None) == DATA[-5:]
        head, get = liar.asked[0].raw, liar.asked[1].raw
    assert "Want-Repr-Digest: sha-256" in head
    assert "Range: bytes=100-1099\r\n" in get
    for line in ('If-Match: "one"', 'If-Range: "one"', "Accept-Encoding: identity"):
        assert f"{line}\r\n" in get


ASKED: Final = DATA[100:1100]  # what ``read`` asks for
CHUNKED: Final = "Transfer-Encoding: chunked"


def part(body: bytes, *headers: str, first: int = 100, last: int = 1099, length: int | None = 1000) -> bytes:
    """A 206 for the bytes that ``read`` asks for, unless told to lie."""
    framing = [] if length is None else [f"Content-Length: {length}"]
    return answer(206, *framing, _range(first, last), *(headers or (ETAG,)), body=body)


def chunks(body: bytes) -> bytes:
    return part(body, ETAG, CHUNKED, length=None)


RANGE_LIES: Final[dict[str, bytes]] = {
    "starts elsewhere": part(DATA[101:1101], first=101, last=1100),
    "shorter": part(DATA[100:1099], last=1098, length=999),
    "longer": part(DATA[100:1101], last=1100, length=1001),
    "from the start": part(DATA[:1000], first=0, last=999),
    "no range header": answer(206, "Content-Length: 1000", ETAG, body=ASKED),
    "reversed": part(ASKED, first=1099, last=100),
    "beyond its size": answer(206, "Content-Length: 1000", _range(100, 1099, 500), ETAG, body=ASKED),
    "overflow": part(ASKED, last=1 << 70),
    "other unit": answer(206, "Content-Length: 1000", "Content-Range: items 100-1099/1", ETAG, body=ASKED),
    "two ranges": answer(206, "Content-Type: multipart/byteranges; boundary=x", "Content-Length: 1", ETAG, body=b"-"),
    "length disagrees": part(DATA[100:1300], length=1200),
    "breaks off": part(DATA[100:700]),
    "nothing": part(b""),
    "until close, short": part(DATA[100:700], length=None),
    "until close, long": part(DATA[100:1101], length=None),
    "chunk cut": chunks(b"3e8\r\n" + DATA[100:700]),
    "chunks end early": chunks(b"2\r\nxx\r\n0\r\n\r\n"),
    "chunks without end": chunks(b"3e8\r\n" + ASKED + b"\r\n"),
    "too many chunks": chunks(b"7d0\r\n" + DATA[100:2100] + b"\r\n0\r\n\r\n"),
    "416": answer(416, f"Content-Range: bytes */{SIZE}", "Content-Length: 0"),
    "whole, but cut": answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA[:700]),
    "whole, but small": answer(200, "Content-Length: 700", ETAG, body=DATA[:700]),
}


@pytest.mark.parametrize("lie", RANGE_LIES.values(), ids=RANGE_LIES.keys())
def test_another_range_than_asked_for(lie: bytes) -> None:
    with lying(lambda _: lie) as liar, pytest.raises(Truncated) as error:
        read(liar.source())
    assert "canary" not in str(error.value)


CHANGES: Final[dict[str, bytes]] = {
    "another ETag": part(ASKED, 'ETag: "two"'),
    "no ETag any more": part(ASKED, "Server: x"),
    "weak ETag now": part(ASKED, 'ETag: W/"one"'),
    "If-Range says no": answer(200, f"Content-Length: {SIZE}", 'ETag: "two"', body=DATA),
    "If-Match says no": answer(412, "Content-Length: 0"),
}


@pytest.mark.parametrize("lie", CHANGES.values(), ids=CHANGES.keys())
def test_another_version_is_noticed_before_the_first_buffer(lie: bytes) -> None:
    with lying(lambda _: lie) as liar, pytest.raises(SourceChanged):
        next(iter(liar.source().read("file.bin", 100, 1000, version=VERSION)))


def test_whole_answer_to_a_range_is_cut_to_it() -> None:
    with lying(lambda a: answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA)) as liar:
        assert read(liar.source()) == DATA[100:1100]


def test_more_than_announced_is_not_read() -> None:
    """Bytes after Content-Length belong to nobody: they must not open the next answer on this connection."""
    with lying(lambda _: part(ASKED + b"HTTP/1.1 200 OK\r\n").replace(b"Connection: close\r\n", b"")) as liar:
        source = liar.source()
        assert read(source) == read(source) == DATA[100:1100]
        assert len(liar.asked) == 2


# --- how large is it? ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 403, 405, 501])
def test_head_refused_or_without_length(status: int) -> None:
    with lying(lambda a: answer(status) if a.method == "HEAD" else honest(a)) as liar:
        assert liar.source().stat("file.bin").size == SIZE
        assert liar.asked[1].ranged


def test_a_head_that_says_that_there_is_no_byte_is_asked_again_by_get() -> None:
    with lying(lambda a: answer(200, "Content-Length: 0", ETAG) if a.method == "HEAD" else honest(a)) as liar:
        assert liar.source().stat("file.bin").size == SIZE


@pytest.mark.parametrize("refusal", [answer(416), answer(416, "Content-Range: bytes */0"), answer(200, ETAG)])
def test_an_empty_file_is_empty_however_a_range_of_it_is_refused(refusal: bytes) -> None:
    told = answer(200, "Content-Length: 0", ETAG)
    with lying(
        lambda a: told if a.method == "HEAD" else refusal.replace(b"\r\n", b"\r\nContent-Length: 0\r\n", 1)
    ) as liar:
        entry = liar.source().stat("file.bin")
        assert (entry.size, entry.version) == (0, VERSION)


@pytest.mark.parametrize("whole", [False, True])
def test_a_head_that_tells_fewer_bytes_than_there_are_does_not_cut_the_file(whole: bool) -> None:
    def play(asked: Asked) -> Answer:
        if asked.method == "HEAD":
            return answer(200, f"Content-Length: {SIZE - 1}", "Accept-Ranges: bytes", ETAG)
        return answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA) if whole else honest(asked)

    with lying(play) as liar:
        source = liar.source()
        entry = source.stat(source.path)
        with pytest.raises(SourceChanged):
            read(source, 0, entry.size, entry.version)


def test_empty_file_by_a_refused_range() -> None:
    with lying(lambda a: answer(405 if a.method == "HEAD" else 416, "Content-Range: bytes */0")) as liar:
        assert liar.source().stat("file.bin").size == 0


@pytest.mark.parametrize("value", ["-1", "1e3", "0x10", "9" * 30, "1, 2", "", "+5"])
def test_unusable_length(value: str) -> None:
    with lying(lambda a: answer(200, f"Content-Length: {value}")) as liar, pytest.raises((Unreachable, Unsupported)):
        liar.source().stat("file.bin")


def test_no_length_anywhere_is_refused_with_a_way_out() -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    with lying(lambda a: answer(200, "Transfer-Encoding: chunked", body=b"" if a.method == "HEAD" else body)) as liar:
        for action in (lambda: liar.source().stat("file.bin"), lambda: read(liar.source(), 0, None, None)):
            with pytest.raises(Unsupported, match="how long") as refused:
                action()
            assert "put the file" in refused.value.next_step


def test_coding_is_neither_decoded_nor_stored_under_the_wrong_name() -> None:
    bomb = b"\x1f\x8b" + b"\0" * 100
    headers = ("Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
    with lying(lambda a: answer(200, *headers, body=b"" if a.method == "HEAD" else bomb)) as liar:
        for action in (lambda: liar.source().stat("file.bin"), lambda: read(liar.source(), 0, None, None)):
            with pytest.raises(Unsupported, match="gzip"):
                action()
        source = liar.source("file.csv.gz")
        assert source.stat("file.csv.gz").size == len(bomb)
        assert read(source, 0, None, None) == bomb


def test_content_md5_counts_only_for_the_whole() -> None:
    md5 = "Content-MD5: 4zSCfUGp5pj5mSNxp2ysyQ=="
    with lying(lambda a: answer(200, "Content-Length: 7", md5)) as liar:
        assert "md5" in liar.source().stat("file.bin").digests
    one_byte = answer(206, "Content-Length: 1", _range(0, 0), md5, body=b"x")
    with lying(lambda a: answer(405) if a.method == "HEAD" else one_byte) as liar:
        assert liar.source().stat("file.bin").digests == {}


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((401, CredentialRefused), (403, AccessDenied), (404, NotFound), (410, NotFound), (412, SourceChanged)),
        *((416, Truncated), (429, Throttled), (503, Throttled), (500, Unreachable), (502, Unreachable)),
        *((504, Unreachable), (408, Unreachable), (425, Unreachable), (400, Unsupported), (418, Unsupported)),
        *((204, Unsupported), (300, Unsupported), (304, Unsupported), (203, Unsupported), (226, Unsupported)),
    ],
)  # fmt: skip
def test_status(status: int, error: type[StorageError]) -> None:
    with lying(lambda a: answer(status, "Content-Length: 0")) as liar:
        source = liar.source()
        for action in (lambda: source.stat("file.bin"), lambda: read(source)):
            with pytest.raises(error) as refused:
                action()
            assert type(refused.value) is error
            assert str(status) in refused.value.message
            assert "canary" not in refused.value.message + refused.value.next_step


@pytest.mark.parametrize(("value", "seconds"), [("30", 30), ("99999999", 3600), ("-5", None), ("garbage", None)])
def test_throttled_for_as_long_as_it_says(value: str, seconds: int | None) -> None:
    with lying(lambda a: answer(503, f"Retry-After: {value}")) as liar, pytest.raises(Throttled) as refused:
        liar.source().stat("file.bin")
    assert refused.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("location", [None, "/loop", "/loop?x", "http://127.0.0.1:1/x\\y", "//", "http://[::1"])
def test_redirects_that_lead_nowhere(location: str | None) -> None:
    headers = [] if location is None else [f"Location: {location}"]
    with lying(lambda a: answer(302, "Content-Length: 0", *headers)) as liar, pytest.raises(StorageError) as refused:
        liar.source().stat("file.bin")
    assert refused.value.kind in {"permanent", "transient"}
    assert len(liar.asked) <= 6


# --- never-ending ----------------------------------------------------------------------------------------------------


def endless(piece: bytes, pause: float = 0) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(pause)


def then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


BOMBS: Final[dict[str, Play]] = {
    "10 MB header": lambda a: answer(200, "X-Bomb: " + "x" * 10_000_000),
    "endless header": lambda a: then(b"HTTP/1.1 200 OK\r\nX-Bomb: ", endless(b"x" * 65536)),
    "endless headers": lambda a: then(b"HTTP/1.1 200 OK\r\n", endless(b"X-Bomb: y\r\n" * 1000)),
    "endless interim answers": lambda a: endless(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "no answer": lambda a: endless(b"", 0.05),
    "half an answer": lambda a: then(b"HTTP/1.1 200 O", endless(b"", 0.05)),
    "closes at once": lambda a: b"",
    "not HTTP": lambda a: b"220 smtp.example ESMTP\r\n\r\n",
    "HTTP/0.9": lambda a: b"<html>",
    "smuggling": lambda a: (
        answer(405) if a.method == "HEAD" else answer(200, "Content-Length: 5", CHUNKED, body=b"0\r\n\r\nHTTP/1.1")
    ),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_dropped_soon(bomb: Play) -> None:
    began = time.monotonic()
    with lying(bomb) as liar:
        source = liar.source(stall=0.6)
        for action in (lambda: source.stat("file.bin"), lambda: read(source)):
            with pytest.raises((Unreachable, Truncated)):
                action()
    assert time.monotonic() - began < 120


@pytest.mark.parametrize("chunked", [True, False])
def test_endless_body_ends_at_what_was_asked_for(chunked: bool) -> None:
    framing = ["Transfer-Encoding: chunked"] if chunked else []
    piece = (b"10000\r\n" if chunked else b"") + b"x" * 65536 + (b"\r\n" if chunked else b"")
    begin = part(b"", ETAG, *framing, length=None)
    got = 0
    with lying(lambda _: then(begin, endless(piece))) as liar, pytest.raises(Truncated):
        for buffer in liar.source().read("file.bin", 100, 1000, version=VERSION):
            got += len(buffer)
    assert got <= 1000


def test_a_body_that_stalls_is_given_up() -> None:
    with (
        lying(lambda _: then(part(b"x"), endless(b"", 0.05))) as liar,
        pytest.raises(Unreachable, match="stalled"),
    ):
        read(liar.source(stall=0.6))


# --- kept answers ----------------------------------------------------------------------------------------------------


def test_a_kept_answer_that_breaks_is_not_used_again() -> None:
    """Without ranges: the second block comes from the kept answer, which breaks; then a new answer serves it."""
    data = DATA * 100
    head = answer(200, f"Content-Length: {len(data)}", ETAG)
    plays = [head + data[:600_000], head + data]
    with lying(lambda _: plays[len(liar.asked) - 1]) as liar:
        source = liar.source()
        assert read(source, 0, 1000) == data[:1000]
        with pytest.raises(Truncated):
            read(source, 1000, 700_000)
        assert read(source, 1000, 700_000) == data[1000:701_000]
        assert len(liar.asked) == 2


def test_a_kept_answer_of_another_version_is_not_used() -> None:
    tags = iter(("one", "two", "two"))
    with lying(lambda a: answer(200, f"Content-Length: {SIZE}", f'ETag: "{next(tags)}"', body=DATA)) as liar:
        source = liar.source()
        assert read(source, 0, 1000) == DATA[:1000]
        assert read(source, 1000, 1000, 'etag "two"') == DATA[1000:2000]
        assert len(liar.asked) == 2


def test_what_is_kept_of_an_earlier_reading_is_not_joined_to_a_later_one() -> None:
    """Nothing tells the versions of this file apart: an answer that is older than the first block is dropped."""
    files = iter((b"old" * SIZE, b"new" * SIZE, b"new" * SIZE))
    with lying(lambda a: answer(200, f"Content-Length: {3 * SIZE}", body=next(files))) as liar:
        source = liar.source()
        assert read(source, 0, 3000, None) == b"old" * 1000
        assert read(source, 0, 3000, None) == b"new" * 1000
        assert read(source, 3000, 3000, None) == b"new" * 1000
        assert len(liar.asked) == 2


def test_an_answer_left_early_is_not_kept() -> None:
    with lying(lambda a: answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA)) as liar:
        source = liar.source()
        buffers = source.read("file.bin", 0, 1000, version=VERSION)
        next(buffers)
        buffers.close()  # type: ignore[attr-defined]
        assert read(source, 2000, 1000) == DATA[2000:3000]
        assert len(liar.asked) == 2
