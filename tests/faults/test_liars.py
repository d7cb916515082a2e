"""Web servers that lie, break off or never end, as sources of transfers: no wrong byte is ever DONE, and the cause says
what is wrong. All cases are files of one transfer, so that none can harm another either."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, TypeAlias

import pytest

from tests.evidence import record

from .ground import Ground, until

DATA: Final = bytes(range(256)) * 40
SIZE: Final = len(DATA)
ETAG: Final = 'ETag: "one"'
CHUNKED: Final = "Transfer-Encoding: chunked"
LARGE: Final = 34 << 20

Answer: TypeAlias = bytes | Iterable[bytes]

pytestmark = [pytest.mark.usefixtures("short_stalls"), pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Asked:
    """A request as it came; ``number`` counts those for the same file from 1."""

    method: str
    path: str
    first: int
    last: int
    ranged: bool
    number: int


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *headers, "Connection: close", "", ""]).encode("latin-1") + body


def head(asked: Asked, size: int = SIZE) -> bytes:
    return answer(200, f"Content-Length: {size}", "Accept-Ranges: bytes", ETAG)


def honest(asked: Asked) -> bytes:
    if asked.method == "HEAD":
        return head(asked)
    part = DATA[asked.first : min(asked.last, SIZE - 1) + 1]
    if not asked.ranged:
        return answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA)
    return answer(
        206, f"Content-Length: {len(part)}", _range(asked.first, asked.first + len(part) - 1), ETAG, body=part
    )


def _range(first: int, last: int, size: int = SIZE) -> str:
    return f"Content-Range: bytes {first}-{last}/{size}"


def part(body: bytes, *headers: str, last: int = SIZE - 1, first: int = 0, length: int | None = SIZE) -> bytes:
    framing = [] if length is None else [f"Content-Length: {length}"]
    return answer(206, *framing, _range(first, last), *(headers or (ETAG,)), body=body)


def get(lie: Answer) -> Callable[[Asked], Answer]:
    """HEAD is answered honestly, GET with a lie."""
    return lambda asked: head(asked) if asked.method == "HEAD" else lie


def on_get(lie: Callable[[], Answer]) -> Callable[[Asked], Answer]:
    """The same with a lie that is made anew each time."""
    return lambda asked: head(asked) if asked.method == "HEAD" else lie()


def both(*headers: str, status: int = 200, body: bytes = b"") -> Callable[[Asked], Answer]:
    return lambda asked: answer(status, *headers, body=b"" if asked.method == "HEAD" else body)


def endless(begin: bytes, piece: bytes, pause: float = 0.0) -> Iterator[bytes]:
    yield begin
    while True:
        yield piece
        time.sleep(pause)


def later(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def changing(asked: Asked) -> Answer:
    """A large file with another ETag from its second block on."""
    if asked.method == "HEAD":
        return head(asked, LARGE)
    count, etag = asked.last - asked.first + 1, "one" if asked.first == 0 else "two"
    return answer(
        206, f"Content-Length: {count}", _range(asked.first, asked.last, LARGE), f'ETag: "{etag}"', body=bytes(count)
    )


def mended(asked: Asked) -> Answer:
    return part(DATA[:700]) if asked.method == "GET" and asked.number == 1 else honest(asked)


CHUNK: Final = b"1000\r\n" + b"x" * 4096 + b"\r\n"
BODY: Final = answer(200, f"Content-Length: {SIZE}", ETAG, body=DATA)
OTHER_RANGE: Final = answer(206, f"Content-Length: {SIZE}", _range(0, SIZE - 1, 500), ETAG, body=DATA)
TWO_RANGES: Final = answer(206, "Content-Type: multipart/byteranges; boundary=x", "Content-Length: 1", ETAG, body=b"-")
BOMB: Final = b"\x1f\x8b\x08" + bytes(2000)
WRONG_DIGEST: Final = b"Repr-Digest: sha-256=:" + b"A" * 43 + b"=:\r\nETag"

CASES: Final[dict[str, tuple[str, Callable[[Asked], Answer]]]] = {
    # the right file after all
    "honest": ("done", honest),
    "200 for 206": ("done", get(BODY)),
    "no HEAD": ("done", lambda asked: answer(405) if asked.method == "HEAD" else honest(asked)),
    "mended": ("done", mended),
    "HEAD without a byte": ("done", lambda asked: head(asked, 0) if asked.method == "HEAD" else honest(asked)),
    # lengths
    "HEAD short": ("source-changed", lambda asked: head(asked, SIZE - 1) if asked.method == "HEAD" else honest(asked)),
    "length short": ("truncated", get(part(DATA[:-1], length=SIZE - 1))),
    "length long": ("truncated", get(part(DATA, length=SIZE + 1))),
    "length absent, body short": ("truncated", get(part(DATA[:700], length=None))),
    "length absent, body long": ("truncated", get(part(DATA + b"x", length=None))),
    "length nowhere": ("unsupported", both(ETAG, CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")),
    "length negative": ("unreachable", get(answer(206, "Content-Length: -1", _range(0, SIZE - 1), ETAG, body=DATA))),
    "two lengths": ("unreachable", get(part(DATA, ETAG, "Content-Length: 5"))),
    "breaks off": ("truncated", get(part(DATA[:700]))),
    "whole breaks off": ("truncated", get(BODY[:-700])),
    "chunk cut": ("truncated", get(part(b"2800\r\n" + DATA[:700], ETAG, CHUNKED, length=None))),
    "chunks without end": ("truncated", get(part(b"2800\r\n" + DATA + b"\r\n", ETAG, CHUNKED, length=None))),
    "chunks end early": ("truncated", get(part(b"2\r\nxx\r\n0\r\n\r\n", ETAG, CHUNKED, length=None))),
    "chunk sizes are words": ("unreachable", get(part(b"many\r\n" + DATA, ETAG, CHUNKED, length=None))),
    # ranges
    "range elsewhere": ("truncated", get(part(DATA, first=1, last=SIZE))),
    "range shorter": ("truncated", get(part(DATA[:-1], last=SIZE - 2, length=SIZE - 1))),
    "range absent": ("truncated", get(answer(206, f"Content-Length: {SIZE}", ETAG, body=DATA))),
    "range of another file": ("truncated", get(OTHER_RANGE)),
    "two ranges": ("truncated", get(TWO_RANGES)),
    "416": ("truncated", get(answer(416, f"Content-Range: bytes */{SIZE}", "Content-Length: 0"))),
    # versions
    "another ETag": ("source-changed", get(part(DATA, 'ETag: "two"'))),
    "no ETag any more": ("source-changed", get(part(DATA, "Server: x"))),
    "another ETag mid-file": ("source-changed", changing),
    "412": ("source-changed", get(answer(412, "Content-Length: 0"))),
    # other things than the file
    "error in a 200": ("truncated", get(answer(200, "Content-Length: 22", ETAG, body=b"<html>Sorry</html>\r\n\r\n"))),
    "204": ("unsupported", both("Content-Length: 0", status=204)),
    "304": ("unsupported", both("Content-Length: 0", status=304)),
    "404": ("not-found", both("Content-Length: 0", status=404)),
    "403": ("access-denied", both("Content-Length: 0", status=403)),
    "401": ("credential-refused", both("Content-Length: 0", status=401)),
    "500": ("unreachable", both("Content-Length: 0", status=500)),
    "gzip bomb": ("unsupported", both("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}", ETAG, body=BOMB)),
    "coding in GET only": ("unsupported", get(part(DATA, ETAG, "Content-Encoding: br"))),
    "wrong digest": ("digest-mismatch", lambda asked: honest(asked).replace(b"ETag", WRONG_DIGEST, 1)),
    # redirects
    "redirect loop": ("unsupported", both("Location: ./redirect%20loop", "Content-Length: 0", status=302)),
    "redirect to nowhere": ("unreachable", both("Content-Length: 0", status=302)),
    "redirect inside": ("egress-refused", both("Location: http://169.254.169.254/", "Content-Length: 0", status=302)),
    "redirect to a file": ("invalid-url", both("Location: file:///etc/passwd", "Content-Length: 0", status=302)),
    # never-ending
    "endless body": ("truncated", on_get(lambda: endless(part(b"", length=None), b"x" * 65536))),
    "endless chunks": ("truncated", on_get(lambda: endless(part(b"", ETAG, CHUNKED, length=None), CHUNK))),
    "1 byte per second": ("unreachable", on_get(lambda: endless(part(b""), b"x", 1))),
    "silence": ("unreachable", lambda asked: endless(b"", b"", 0.1)),
    "silence in the body": ("unreachable", on_get(lambda: endless(part(DATA[:700]), b"", 0.1))),
    "endless head": ("unreachable", lambda asked: endless(b"HTTP/1.1 200 OK\r\n", b"X-More: y\r\n" * 1000)),
    "endless interim answers": ("unreachable", lambda asked: endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    "hangs up": ("unreachable", lambda asked: b""),
    "not HTTP": ("unreachable", lambda asked: b"220 smtp.example ESMTP\r\n\r\n"),
    "smuggling": ("unreachable", get(part(b"0\r\n\r\nHTTP/1.1", ETAG, CHUNKED))),
    # wishes
    "Retry-After absurd": ("throttled", both("Retry-After: 99999999999", status=503)),
    "Retry-After negative": ("throttled", both("Retry-After: -5", status=503)),
    "Retry-After a date in the past": ("throttled", lambda asked: answer(429, f"Retry-After: {later(-1e6)}")),
    "Retry-After a date far ahead": ("throttled", lambda asked: answer(429, f"Retry-After: {later(1e7)}")),
    "Retry-After nonsense": ("throttled", both("Retry-After: tomorrow", status=429)),
}  # fmt: skip
FINAL: Final = {"unsupported", "invalid-url", "not-found", "access-denied", "source-changed", "egress-refused"}
PAUSED: Final = {"credential-refused"}


class Liar:
    """Answers each request, one per connection, as the case says that its path names."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listening.getsockname()[1]
        self.asked: Counter[tuple[str, str]] = Counter()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            raw = b""
            while b"\r\n\r\n" not in raw:
                if not (piece := connection.recv(65536)):
                    return  # who came has given up before asking
                raw += piece
            asked = self._read(raw.decode("latin-1"))
            said = CASES[asked.path][1](asked)
            for piece in [said] if isinstance(said, bytes) else said:
                connection.sendall(piece)
                if not piece and _has_left(connection):
                    return

    def _read(self, raw: str) -> Asked:
        method, target = raw.split(" ", 2)[:2]
        path = target.removeprefix("/").replace("%20", " ")
        self.asked[method, path] += 1
        found = re.search(r"\r\nRange: bytes=(\d+)-(\d*)\r\n", raw)
        last = int(found[2]) if found and found[2] else SIZE - 1
        return Asked(method, path, int(found[1]) if found else 0, last, found is not None, self.asked[method, path])


def _has_left(connection: socket.socket) -> bool:
    """Whether the client has closed it: who sends nothing does not learn that otherwise."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(65536)


@dataclass
class Outcome:
    files: dict[str, dict[str, Any]]
    content: dict[str, bytes]
    looked: dict[str, datetime]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, soon: None, short_stalls: None) -> Iterator[Outcome]:
    """Of all cases, once each has ended or has been tried twice."""
    begun = time.monotonic()
    ground, liar = Ground(tmp_path_factory.mktemp("liars"), limits={"max_active": 16, "per_storage": 16}), Liar()
    ground.allowed = [f"127.0.0.1:{liar.port}"]
    out = ground.posix("out")
    ground.start()
    try:
        url = f"http://127.0.0.1:{liar.port}"
        pairs = [(f"{url}/{name.replace(' ', '%20')}", f"out:/{name}") for name in CASES]
        # one transfer each: files of one would share batches, and wait for the slowest of them
        transfers = [ground.submit(pair) for pair in pairs]
        files: dict[str, dict[str, Any]] = {}
        looked: dict[str, datetime] = {}

        def all_judged() -> bool:
            for name, transfer in zip(CASES, transfers, strict=True):
                if name not in files and _is_judged(file := ground.file(transfer), CASES[name][0]):
                    files[name], looked[name] = file, datetime.now(UTC)
            return len(files) == len(CASES)

        until(all_judged, 500, lambda: f"still open: {CASES.keys() - files.keys()}")
        content = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
        found = Outcome(files, content, looked)
        bad = [name for name in CASES if _wrong(found, name)]
        record("faults.liars", runs=len(CASES), bad=len(bad), seconds=time.monotonic() - begun)
        yield found
    finally:
        liar.close()
        ground.stop()


def _is_judged(file: dict[str, Any], expected: str) -> bool:
    """With another cause than what is expected only after several tries: a machine that stands still for as long as
    nobody is waited for here makes honest servers look like dead ones."""
    if file["state"] != "WAITING":
        return file["state"] in {"DONE", "FAILED", "PAUSED"}
    code, tries = file["cause"]["code"], file["attempts"]
    return code == "throttled" or (tries > 1 and code == expected) or tries > 5


def _wrong(outcome: Outcome, name: str) -> str:
    """What is not as it should be with a case; empty if nothing."""
    expected, file, data = CASES[name][0], outcome.files[name], outcome.content.get(name)
    if expected == "done":
        return "" if (file["state"], data) == ("DONE", DATA) else f"not DONE with the right bytes: {file}"
    state = "FAILED" if expected in FINAL else "PAUSED" if expected in PAUSED else "WAITING"
    if file["state"] != state or file["cause"]["code"] != expected:
        return f"not {state} because of {expected}: {file}"
    return "" if data is None else "something is at the destination"


@pytest.mark.parametrize("name", CASES)
def test_a_liar_is_found_out(outcome: Outcome, name: str) -> None:
    assert _wrong(outcome, name) == ""


def test_each_cause_is_a_sentence_with_a_way_out(outcome: Outcome) -> None:
    for name, file in outcome.files.items():
        if file["state"] != "DONE":
            assert file["cause"]["next_step"], name
            assert len(file["cause"]["message"]) > 20, name


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("Retry-After")])
def test_a_wish_is_heeded_for_an_hour_at_most(outcome: Outcome, name: str) -> None:
    file = outcome.files[name]
    wait = datetime.fromisoformat(file["next_try"]) - outcome.looked[name]
    long = name.endswith(("absurd", "ahead"))
    assert timedelta(minutes=50) < wait <= timedelta(hours=1) if long else wait < timedelta(minutes=1)
