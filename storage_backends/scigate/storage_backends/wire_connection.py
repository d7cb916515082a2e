"""One persistent HTTP/1.1 connection (RFC 9112): send a request, read the head, stream the body.

Plain sockets instead of ``http.client``: parsing an answer head with the e-mail parser costs more than the rest of a
small request, and only here can data be received into one reused buffer, acknowledgements be sent at once while a
head is awaited, and an answer be noticed that comes before the body is sent.
"""

from __future__ import annotations

import math
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from .backend import Buffer, KiB
from .errors import Truncated, Unreachable

BUFFER_SIZE: Final = 256 * KiB  # stays in the L2 cache between receiving, digesting and writing
HEAD_MAX: Final = 64 * KiB
HEADERS_MAX: Final = 256
LINE_MAX: Final = 4 * KiB  # in a chunked body
JOIN_MAX: Final = 64 * KiB  # a body up to this size goes out in one piece with its head
INTERIM_MAX: Final = 16  # 1xx answers before the real one
GATHERING: Final = 1.0  # seconds; what has come by then is passed on, so that dripping can be seen
HEAD_WAITS: Final = 2  # stall times that an answer head may take: one until it begins, one until it is whole

_AT_ONCE: Final = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: close() sends RST

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n\0]*)?\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\Z")  # RFC 9112 section 5
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\Z")


class NothingReceived(Exception):
    """The connection broke before a single byte of the answer: on a reused connection it was probably closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the finished head, and a body of exactly ``length`` bytes."""

    method: str
    head: bytes
    body: Buffer | Iterable[Buffer] | None
    length: int

    @property
    def replayable(self) -> bool:
        return self.body is None or isinstance(self.body, bytes | bytearray | memoryview)


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer. Names are lower-case; repeated headers are joined by commas."""

    status: int
    headers: dict[str, str]
    persistent: bool  # the server keeps the connection
    chunked: bool
    length: int | None  # of the body; None: chunked, or until the connection ends


class Connection:
    """A connected socket with its receive buffer. Used by one thread at a time."""

    __slots__ = ("_buffer", "_end", "_poll", "_socket", "_start", "_unread", "_view", "idle_since", "name", "used")

    def __init__(self, connected: socket.socket, name: str) -> None:
        self._socket = connected
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0  # received, not yet taken
        self._unread = True  # an answer, or part of one, is still to come
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self.name = name
        self.used = False  # has carried a request before
        self.idle_since = 0.0

    def close(self) -> None:
        self._socket.close()

    def reset_on_close(self) -> None:
        """Let the server know of the end at once: what it has not taken would be sent first, for minutes, and could
        arrive behind the next try."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    def is_fresh(self, longest_idle: float) -> bool:
        """Whether an idle connection can be used again: not too old, not closed by the server."""
        return time.monotonic() - self.idle_since < longest_idle and not self._poll.poll(0)

    def is_clean(self) -> bool:
        """Whether the answer has been read to its end and nothing came after it."""
        return not self._unread and self._start == self._end

    # --- sending -------------------------------------------------------------------------------------------------

    def exchange(self, request: Request) -> Head:
        """Send a request and read the head of its answer; the body is then read with ``body``.

        An answer that comes early ends the sending: most often it is a refusal, and the connection is not used again.
        """
        self._unread = True
        self._start = self._end = 0
        try:
            complete = self._send(request.head, request.body, request.length)
        except OSError as error:
            return self._answer_after(error, request.method)
        answer = self._read_head(request.method)
        return answer if complete else self._early(answer)

    def _early(self, answer: Head) -> Head:
        if answer.status < 300:
            raise Unreachable(f"{self.name} answered {answer.status} before it had everything")
        return replace(answer, persistent=False)

    def _answer_after(self, error: OSError, method: str) -> Head:
        """The server broke off while we were sending; what it said before that matters more than the error."""
        try:
            answer = self._read_head(method)
        except (OSError, Truncated, Unreachable, NothingReceived):
            if self._end == 0 and not isinstance(error, TimeoutError):
                raise NothingReceived from error
            raise error from None
        return self._early(answer)

    def _send(self, head: bytes, body: Buffer | Iterable[Buffer] | None, length: int) -> bool:
        """False if the answer came before everything was sent."""
        if body is None or isinstance(body, bytes | bytearray | memoryview):
            return self._send_at_once(head, body)
        return self._send_streamed(head, _exactly(body, length))

    def _send_streamed(self, head: bytes, pieces: Iterator[memoryview]) -> bool:
        # The head waits for the first data: SeaweedFS takes a body that breaks off before its first byte for an
        # empty one, and stores that.
        first = next(pieces, None)
        if not self._send_at_once(head, first):
            return False
        for piece in pieces:
            if self._poll.poll(0) and self._peek():
                return False
            self._socket.sendall(piece)
        return True

    def _send_at_once(self, head: bytes, body: Buffer | None) -> bool:
        if body is None:
            self._socket.sendall(head)
            return True
        view = memoryview(body).cast("B")
        if len(view) <= JOIN_MAX:
            self._socket.sendall(head + bytes(view))
            return True
        self._socket.sendall(head)
        for at in range(0, len(view), BUFFER_SIZE):
            if self._poll.poll(0) and self._peek():
                return False
            self._socket.sendall(view[at : at + BUFFER_SIZE])
        return True

    def _peek(self) -> bool:
        """Whether an answer has begun. A readable TLS socket may hold session tickets only."""
        timeout = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            self._end += self._socket.recv_into(self._view[self._end :])
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self._socket.settimeout(timeout)
        return True

    # --- receiving -----------------------------------------------------------------------------------------------

    def _receive(self, until: int) -> int:
        """Receive into the buffer up to position ``until``; 0 is the end of the stream."""
        count = self._socket.recv_into(self._view[self._end : until])
        self._end += count
        return count

    def _read_head(self, method: str) -> Head:
        deadline = self._deadline(HEAD_WAITS)
        for _ in range(INTERIM_MAX):
            answer = parse_head(self._head_bytes(deadline), method, self.name)
            if answer.status >= 200:
                self._unread = answer.length != 0
                return answer
        raise Unreachable(f"{self.name} sent more than {INTERIM_MAX} interim answers")

    def _deadline(self, waits: int = 1) -> float:
        """When so many stall times will have passed: bytes that come one by one each beat the socket's own timeout."""
        return time.monotonic() + waits * (self._socket.gettimeout() or math.inf)

    def _require_time(self, deadline: float, what: str) -> None:
        if time.monotonic() > deadline:
            raise Unreachable(f"{self.name} stalled: {what} did not come to its end within the time allowed")

    def _head_bytes(self, deadline: float) -> bytes:
        searched = self._start
        longest = self._start + HEAD_MAX
        while (at := self._buffer.find(b"\r\n\r\n", searched, min(self._end, longest))) < 0:
            searched = max(self._start, self._end - 3)
            if self._end >= longest:
                raise Unreachable(f"{self.name} sent an answer head longer than {HEAD_MAX} bytes")
            self._require_time(deadline, "the head of its answer")
            self._await_head()
        head = bytes(self._view[self._start : at])
        self._start = at + 4
        return head

    def _await_head(self) -> None:
        # Without this, servers that send head and body in two writes stall 40 ms on our delayed acknowledgement.
        # The kernel forgets the option after a while, so it is set again for each wait (tcp(7)).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        try:
            count = self._receive(len(self._buffer))
        except ConnectionError as error:
            if self._end == 0:
                raise NothingReceived from error
            raise
        if count == 0 and self._end == 0:
            raise NothingReceived
        if count == 0:
            raise Truncated(f"{self.name} closed the connection within an answer head")

    def body(self, head: Head) -> Iterator[memoryview]:
        """The body that belongs to ``head``; each buffer is valid until the next one is asked for.

        Ends early: ``Truncated``. Nothing for the stall timeout: ``TimeoutError``.
        """
        if head.chunked:
            return self._chunked()
        return self._until_close() if head.length is None else self._counted(head.length)

    def _counted(self, length: int) -> Iterator[memoryview]:
        left = length
        while left:
            piece = self._gather(left)
            if piece is None:
                got = length - left + self._end - self._start
                raise Truncated(f"{self.name} closed the connection after {got} of {length} bytes")
            left -= len(piece)
            self._unread = left > 0
            yield piece

    def _gather(self, left: int) -> memoryview | None:
        """As much of the next ``left`` bytes as fits the buffer, or has come in ``GATHERING``; None if the stream ends
        before."""
        if self._start == self._end:
            self._start = self._end = 0
        start = self._start
        until = min(start + left, len(self._buffer))
        asked = time.monotonic()
        while self._end < until:
            if not self._receive(until):
                return None
            if time.monotonic() - asked > GATHERING:
                break
        self._start = min(self._end, until)
        return self._view[start : self._start]

    def _until_close(self) -> Iterator[memoryview]:
        while True:
            if self._start == self._end:
                self._start = self._end = 0
                if not self._receive(len(self._buffer)):
                    return
            start, self._start = self._start, self._end
            yield self._view[start : self._end]

    def _chunked(self) -> Iterator[memoryview]:
        """RFC 9112 section 7.1; trailers are read and dropped."""
        while left := self._chunk_size():
            while left:
                piece = self._gather(left)
                if piece is None:
                    raise Truncated(f"{self.name} closed the connection within a chunk")
                left -= len(piece)
                yield piece
            if self._line(self._deadline()):
                raise Unreachable(f"{self.name} sent a chunk longer than it said")
        deadline = self._deadline()
        for _ in range(HEADERS_MAX):
            if not self._line(deadline):
                self._unread = False
                return
        raise Unreachable(f"{self.name} sent too many trailers")

    def _chunk_size(self) -> int:
        found = _CHUNK_SIZE.match(self._line(self._deadline()))
        if not found:
            raise Unreachable(f"{self.name} sent a malformed chunk")
        return int(found[1], 16)

    def _line(self, deadline: float) -> bytes:
        while (at := self._buffer.find(b"\r\n", self._start, self._end)) < 0:
            if self._end - self._start > LINE_MAX:
                raise Unreachable(f"{self.name} sent a line longer than {LINE_MAX} bytes within a chunked body")
            self._require_time(deadline, "a line of its chunked body")
            self._make_room()
            if not self._receive(len(self._buffer)):
                raise Truncated(f"{self.name} closed the connection within a chunked body")
        line = bytes(self._view[self._start : at])
        self._start = at + 2
        return line

    def _make_room(self) -> None:
        if self._end == len(self._buffer):
            waiting = bytes(self._view[self._start : self._end])
            self._view[: len(waiting)] = waiting
            self._start, self._end = 0, len(waiting)


def _exactly(buffers: Iterable[Buffer], length: int) -> Iterator[memoryview]:
    """Pass ``buffers`` on if they hold exactly ``length`` bytes.

    The last byte is held back until the input has ended, so that a body that turns out too long or too short is
    never complete at the server: it drops the request when the connection is closed.
    """
    sent = 0
    held = memoryview(b"")
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        sent += len(view)
        if sent > length:
            raise Truncated(f"more than the promised {length} bytes were given")
        if sent == length and view:
            held = memoryview(bytes(view[-1:]))
            view = view[:-1]
        if view:
            yield view
    if sent < length:
        raise Truncated(f"only {sent} of the promised {length} bytes were given")
    if held:
        yield held


def parse_head(raw: bytes, method: str, name: str) -> Head:
    """Read a status line and headers. ``Unreachable`` if they break RFC 9112: such a server cannot be trusted."""
    lines = raw.split(b"\r\n")
    status_line = _STATUS_LINE.match(lines[0])
    if not status_line or len(lines) > HEADERS_MAX:
        raise Unreachable(f"{name} did not answer in HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        header = _HEADER.match(line)
        if not header:
            raise Unreachable(f"{name} sent a malformed header")
        key, value = header[1].decode("ascii").lower(), header[2].decode("latin-1")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return _framing(int(status_line[2]), status_line[1] == b"1", headers, method, name)


def _framing(status: int, http11: bool, headers: dict[str, str], method: str, name: str) -> Head:
    """How long the body is: RFC 9112 section 6.3."""
    connection = headers.get("connection", "").lower()
    persistent = "close" not in connection and (http11 or "keep-alive" in connection)
    if method == "HEAD" or status < 200 or status in {204, 304}:
        return Head(status, headers, persistent, False, 0)
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
            raise Unreachable(f"{name} frames its answer in a way that cannot be trusted")
        return Head(status, headers, persistent, True, None)
    if "content-length" in headers:
        return Head(status, headers, persistent, False, _content_length(headers["content-length"], name))
    return Head(status, headers, False, False, None)


def _content_length(value: str, name: str) -> int:
    values = {item.strip() for item in value.split(",")}
    only = values.pop()
    if values or not (only.isascii() and only.isdigit()) or len(only) > 19:
        raise Unreachable(f"{name} sent an unusable Content-Length")
    return int(only)
