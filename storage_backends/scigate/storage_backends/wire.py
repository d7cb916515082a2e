"""The HTTP/1.1 client of the data plane: a pool of persistent connections that streams buffers and loses nothing.

It never follows a redirect, never decodes content, never logs a header, and always verifies TLS.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from .backend import Buffer, MiB
from .errors import InvalidName, Misconfigured, StorageError, Throttled, Truncated, Unreachable
from .pace import Pace
from .registry import Connect, connect_directly
from .wire_connection import Connection, Head, NothingReceived, Request

Headers: TypeAlias = Mapping[str, str]
Body: TypeAlias = Buffer | Iterable[Buffer]

PORTS: Final = {"http": 80, "https": 443}
REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"})  # RFC 9110 section 9.2.2
PACE: Final = Pace()
_UNSENDABLE_TARGET: Final = re.compile(r"[^\x21-\x7e]")
_UNSENDABLE_HEADER: Final = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; ``path`` is sent as it stands, query included, and must be percent-encoded already."""

    scheme: str
    host: str
    port: int
    path: str = "/"

    @property
    def host_header(self) -> str:
        """The value of ``Host``: without the port where it is the scheme's own (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Take an absolute ``http(s)`` URL apart. ``InvalidName`` if it is none, or holds a user name."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidName("this is not a URL that can be read") from None
    if parts.scheme not in PORTS or not host or parts.username is not None:
        raise InvalidName("only http and https URLs with a host and without a user name can be used")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path)


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A verifying TLS context: trust ``ca_file`` (PEM) only, or the system's authorities without it."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or "not a PEM file of certificates"
        raise Misconfigured(f"the CA file {ca_file} cannot be used: {reason}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Response:
    """An answer whose body is read once: by iterating, or with ``read_all``. Close it, or read it to its end.

    Each buffer is valid until the next one is asked for. A body that ends early raises ``Truncated``; a connection
    that breaks, stalls or drips raises ``Unreachable``. When the body has been read the connection goes back to the
    pool.
    """

    __slots__ = ("_connection", "_head", "_pool", "_target", "headers", "repeated", "status")

    def __init__(self, pool: Pool, target: Target, connection: Connection, head: Head, *, repeated: bool) -> None:
        self.status = head.status
        self.headers: Headers = head.headers
        self._head = head
        self._pool = pool
        self._target = target
        self._connection: Connection | None = connection
        self.repeated = repeated
        """Whether the request had been sent before, without an answer."""
        if head.length == 0:
            self.close()

    @property
    def length(self) -> int | None:
        """Bytes in the body; None if the server did not say."""
        return self._head.length

    def __iter__(self) -> Iterator[memoryview]:
        if self._connection is None:
            return
        try:
            yield from self._pool._pace.kept(self._connection.body(self._head), self._connection.name)
        except OSError as error:
            raise broken(self._connection.name, error) from error
        finally:
            self.close()

    def read_all(self, limit: int = MiB) -> bytes:
        """The whole body. ``Unreachable`` if it is longer than ``limit`` bytes: nobody asked for that much."""
        data = bytearray()
        try:
            for piece in self:
                data += piece
                if len(data) > limit:
                    raise Unreachable(f"{self._target.host_header} sent more than {limit} bytes where less is expected")
        finally:
            self.close()
        return bytes(data)

    def close(self) -> None:
        """Give the connection back, or drop it if the body has not been read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            keep = self._head.persistent and connection.is_clean()
            self._pool._give_back(self._target, connection, keep=keep)

    def __enter__(self) -> Response:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Pool:
    """Connections by host, the most recently used first. Thread-safe.

    ``stall`` bounds each wait for the network, not a whole request: a slow transfer that moves is fine, unless it is
    slower than ``pace``.
    ``per_host`` bounds open connections; who waits for one longer than ``stall`` gets ``Throttled``.
    """

    def __init__(
        self,
        connect: Connect = connect_directly,
        tls: ssl.SSLContext | None = None,
        *,
        connect_timeout: timedelta = timedelta(seconds=10),
        stall: timedelta = timedelta(seconds=60),
        pace: Pace = PACE,
        idle: timedelta = timedelta(seconds=20),
        per_host: int = 256,
    ) -> None:
        if tls is not None and (tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError("a TLS context must verify certificates and host names")
        self._connect = connect
        self._tls = tls
        self._connect_timeout = connect_timeout.total_seconds()
        self._stall = stall.total_seconds()
        self._pace = pace
        self._idle = idle.total_seconds()
        self._per_host = per_host
        self._free: dict[tuple[str, str, int], list[Connection]] = {}
        self._open: dict[tuple[str, str, int], int] = {}
        self._swept = time.monotonic()
        self._changed = threading.Condition()

    def request(
        self,
        method: str,
        target: Target | str,
        headers: Headers | None = None,
        body: Body | None = None,
        length: int | None = None,
    ) -> Response:
        """Send one request and return its answer, whatever its status.

        ``length`` is needed with an iterable body, which must give exactly that many bytes: otherwise ``Truncated``,
        and the server never gets a complete request. A request is repeated only if its connection had been idle, no
        byte of an answer came, and both method and body can be repeated. No answer: ``Unreachable``.
        """
        where = parse_url(target) if isinstance(target, str) else target
        size = _body_length(body, length)
        request = Request(method, _request_head(method, where, headers or {}, size), body, size or 0)
        repeated = False
        while True:
            connection = self._take(where)
            reused = connection.used
            try:
                return self._exchange(connection, where, request, repeated=repeated)
            except NothingReceived as error:
                if not (reused and request.replayable and method in REPEATABLE):
                    raise Unreachable(f"{where.host_header} closed the connection without an answer") from error
                repeated = True

    def _exchange(self, connection: Connection, where: Target, request: Request, *, repeated: bool) -> Response:
        try:
            connection.used = True
            return Response(self, where, connection, connection.exchange(request), repeated=repeated)
        except OSError as error:
            connection.reset_on_close()
            self._give_back(where, connection, keep=False)
            raise broken(where.host_header, error) from error
        except BaseException:
            self._give_back(where, connection, keep=False)
            raise

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back and time out."""
        with self._changed:
            for key, free in self._free.items():
                self._open[key] -= len(free)
                for connection in free:
                    connection.close()
                free.clear()

    def _take(self, where: Target) -> Connection:
        key = (where.scheme, where.host, where.port)
        deadline = time.monotonic() + self._stall
        while (connection := self._idle_connection(key, deadline)) is not None:
            if connection.is_fresh(self._idle):  # asks the system: not while others wait for the lock
                return connection
            connection.close()
            self._forget(key)
        try:
            return self._dial(where)
        except BaseException:
            self._forget(key)
            raise

    def _idle_connection(self, key: tuple[str, str, int], deadline: float) -> Connection | None:
        """The connection that was used last; None is the leave to open another."""
        with self._changed:
            while True:
                if free := self._free.setdefault(key, []):
                    return free.pop()
                if self._open.get(key, 0) < self._per_host:
                    self._open[key] = self._open.get(key, 0) + 1
                    return None
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Throttled(f"all {self._per_host} connections to {key[1]}:{key[2]} are busy")

    def _dial(self, where: Target) -> Connection:
        try:
            plain = self._connect(where.host, where.port, self._connect_timeout)
        except OSError as error:
            raise broken(where.host_header, error) from error
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected = self._secure(plain, where.host) if where.scheme == "https" else plain
            connected.settimeout(self._stall)
            return Connection(connected, where.host_header)
        except OSError as error:
            plain.close()
            raise broken(where.host_header, error) from error

    def _secure(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = tls_context()
        plain.settimeout(self._connect_timeout)
        return self._tls.wrap_socket(plain, server_hostname=host)

    def _give_back(self, where: Target, connection: Connection, *, keep: bool) -> None:
        key = (where.scheme, where.host, where.port)
        if not keep:
            connection.close()
            self._forget(key)
            return
        connection.idle_since = time.monotonic()
        with self._changed:
            self._free[key].append(connection)
            self._changed.notify()
            stale = self._stale(connection.idle_since)
        for one in stale:
            one.close()

    def _stale(self, now: float) -> list[Connection]:
        """Take out, now and then, what nobody has used for too long: below the one that was used last, or to a host
        that is never asked again, it would stay for ever."""
        if now - self._swept < self._idle:
            return []
        self._swept, stale = now, list[Connection]()
        for key, free in list(self._free.items()):
            old = sum(now - one.idle_since >= self._idle for one in free)  # they come first
            stale += free[:old]
            del free[:old]
            self._open[key] -= old
            if not self._open[key]:
                del self._open[key], self._free[key]
        return stale

    def _forget(self, key: tuple[str, str, int]) -> None:
        with self._changed:
            self._open[key] -= 1
            self._changed.notify()


def broken(name: str, error: OSError) -> StorageError:
    """What an operating system or TLS error means, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"the TLS certificate of {name} is not accepted: {error.verify_message}",
            next_step="Set 'ca_file' to the authority that signed it, or renew the certificate.",
        )
    if isinstance(error, ssl.SSLEOFError):
        return Truncated(f"{name} ended the TLS connection without saying so")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{name} stalled: nothing moved within the time allowed")
    return Unreachable(f"no connection to {name}: {error.strerror or type(error).__name__}")


def _body_length(body: Body | None, length: int | None) -> int | None:
    if body is None:
        return None
    if isinstance(body, bytes | bytearray | memoryview):
        size = memoryview(body).nbytes
        if length is not None and length != size:
            raise Truncated(f"{size} bytes were given where {length} were promised")
        return size
    if length is None:
        raise ValueError("a streamed body needs its length")
    return length


def _request_head(method: str, where: Target, headers: Headers, size: int | None) -> bytes:
    if _UNSENDABLE_TARGET.search(where.path) or not where.path.startswith("/"):
        raise InvalidName("this path cannot be sent over HTTP: it must be percent-encoded and begin with '/'")
    lines = [f"{method} {where.path} HTTP/1.1"]
    given = {name.lower() for name in headers}
    if "host" not in given:
        lines.append(f"Host: {where.host_header}")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    if size is not None:
        lines.append(f"Content-Length: {size}")
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    if _UNSENDABLE_HEADER.search("".join(lines)):
        raise InvalidName("a header with a line break or NUL cannot be sent")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "strict")
