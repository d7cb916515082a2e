"""HTTP as bytes: what goes out is exactly what was given, which no client library would send."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]
CUT: Final = "the body broke off"


@dataclass(frozen=True)
class Reply:
    """What came back; ``status`` 0: the connection was closed without an answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_cut: bool = False
    """The connection broke before the end of the body."""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        """Whether this is a whole problem document (RFC 9457)."""
        if self.header("Content-Type") != "application/problem+json":
            return False
        needed = ("type", "title", "status", "detail", "code", "next_step")
        return not self.body or (all(self.json.get(name) for name in needed) and self.json["status"] == self.status)

    def fault(self, head: bool = False) -> str | None:
        """Why a hostile request may not be answered so; None if it may: 2xx, 3xx, or a 4xx that explains itself."""
        if self.status == 0:
            return "closed without an answer"
        if self.is_cut:
            return CUT
        if self.status >= 500:
            return f"{self.status} {self.body[:300]!r}"
        if self.status >= 400 and not head and not self.is_problem:
            return f"{self.status} is no problem document: {self.body[:300]!r}"
        return None


class Wire:
    """A connection of one user that is kept while it can be; not for several threads at once."""

    def __init__(self, port: int, token: str | None, timeout: float = 120) -> None:
        self._port, self._token, self._timeout = port, token, timeout
        self._socket: socket.socket | None = None

    def ask(self, method: str, target: str | bytes, body: bytes | Any = b"", headers: Headers = ()) -> Reply:
        """One request, and its answer. A body that is not bytes is sent as JSON."""
        given = list(_pairs(headers))
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.append((b"Content-Type", b"application/json"))
        if self._token:
            given.append((b"Authorization", b"Bearer " + self._token.encode()))
        given += [(b"Host", b"127.0.0.1"), (b"Content-Length", str(len(body)).encode())]
        raw = target if isinstance(target, bytes) else target.encode("utf-8", "surrogateescape")
        head = b"".join(name + b": " + value + b"\r\n" for name, value in given)
        message = method.encode() + b" " + raw + b" HTTP/1.1\r\n" + head + b"\r\n" + body
        fresh = self._socket is None
        reply = self.send(message, method)
        return reply if reply.status or fresh else self.send(message, method)  # it had been closed meanwhile

    def head_of(self, target: str) -> Reply:
        """The head of the answer to a GET whose body does not end; the connection is closed then."""
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token or ''}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self._port), self._timeout) as connection:
            connection.sendall(request.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            body = answer.read() if answer.status >= 400 else b""
            return Reply(answer.status, tuple(answer.getheaders()), body)

    def send(self, message: bytes, method: str = "GET") -> Reply:
        """These bytes, and the first answer to them."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # it may have answered and hung up
            self._socket.sendall(message)
        try:
            answer = http.client.HTTPResponse(self._socket, method=method)
            answer.begin()
            reply = _whole(answer)
        except (OSError, http.client.HTTPException):
            self.close()
            return Reply(0)
        if reply.is_cut:
            self.close()
            return reply
        if answer.will_close:
            self.close()
        answer.close()
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _whole(answer: http.client.HTTPResponse) -> Reply:
    """The answer with all of its body, or with what came of it before the connection broke."""
    body = bytearray()
    try:
        while piece := answer.read1(65536):
            body += piece
        is_cut = bool(answer.length)
    except (OSError, http.client.IncompleteRead):
        is_cut = True
    return Reply(answer.status, tuple(answer.getheaders()), bytes(body), is_cut)


def _pairs(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    if isinstance(headers, Mapping):
        return [(name.encode("latin-1"), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
    return headers
