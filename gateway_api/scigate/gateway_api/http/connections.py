"""Connections of clients: how many there may be, and which of them go when there are too many.

Whoever can reach the port can open connections, and each is one of the files that this process may have open; so some
of these are kept for the database and the storages. When all the others are taken, connections without a request of
somebody signed in are closed, as nginx closes idle ones: first those that nobody has ever signed in on, of the address
that has most of them, the oldest first. Behind a proxy all have one address, and only their age counts; where addresses
tell people apart, a flood closes its own. A connection with a request of somebody signed in is never closed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from ..metrics import Metrics
from ..problems import Problem

log = logging.getLogger(__name__)
AT_ONCE: Final = 128  # connections that are accepted before something else has its turn
SHARE: Final = 16  # one in so many goes at once, so that a flood does not make us choose again each time
PAUSE: Final = 0.5  # seconds in which nothing is accepted, when the system has no more files and nothing can be closed
TOLD_AGAIN: Final = 60.0  # seconds between two lines of the log that say the same
READ: Final = 64 << 10  # bytes
FULL: Final = Problem(
    503, "too-many-connections", "The gateway has as many connections as it can bear.",
    next_step="Try again in a few seconds.", retriable=True, retry_after=timedelta(seconds=5),
)  # fmt: skip


def descriptors() -> int:
    """How many files and sockets this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Connection(IOStream):
    """One client's. ``is_known``: somebody has signed in on it, once at least."""

    def __init__(self, one: socket.socket, among: Connections, address: str, **limits: Any) -> None:
        super().__init__(one, **limits)
        super().set_nodelay(True)
        self._among, self.address, self.is_known = among, address, False
        among.opened(self)

    def set_nodelay(self, value: bool) -> None:
        """What is written is sent at once, always. Tornado says so to the kernel anew at the end of each answer, and
        takes it back at the beginning of the next request, which is two system calls; we never write so little that it
        is worth waiting."""

    def close_fd(self) -> None:
        """Called once by ``IOStream``, however the connection ends."""
        super().close_fd()
        self._among.closed(self)

    @property
    def is_spare(self) -> bool:
        """Whether nothing is lost by closing it: what somebody signed in was answered has left."""
        return not (self.is_known and self.writing())


class Connections:
    """All of them, ``most`` at a time. Lives in the event loop; the numbers may be asked for by any thread."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self.most = most
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        """Those without a request of somebody signed in; who has been so for longest comes first."""
        self._closed = self._refused = 0
        self._told = -TOLD_AGAIN
        metrics.gauge("scigate_connections", "Open connections of clients; busy: with a request of somebody signed in",
                      ["state"], self._states)  # fmt: skip
        metrics.gauge("scigate_connections_refused", "Connections that found no room since the gateway started: idle "
                      "ones that were closed for others, and new ones that were answered 503", ["how"],
                      lambda: {("closed",): self._closed, ("answered",): self._refused})  # fmt: skip

    def opened(self, one: Connection) -> None:
        """It is there."""
        self._open.add(one)
        self._idle[one] = None

    def closed(self, one: Connection) -> None:
        """It is gone."""
        self._open.discard(one)
        self._idle.pop(one, None)

    def busy(self, one: Connection) -> None:
        """A request of somebody signed in is answered on it from now on."""
        one.is_known = True
        self._idle.pop(one, None)

    def idle(self, one: Connection) -> None:
        """Not any more. May be called twice, and for one that is gone."""
        if one in self._open and one not in self._idle:
            self._idle[one] = None

    def has_room(self) -> bool:
        """Whether there may be one more; some are closed for it if need be."""
        if len(self._open) < self.most:
            return True
        self.tell(f"connections: no more than {self.most} may be open (limits.connections, RLIMIT_NOFILE)")
        return self.make_room()

    def make_room(self) -> bool:
        """Close some that nobody misses. False if there is none."""
        chosen = self._chosen()
        for one in chosen:
            one.close()
        self._closed += len(chosen)
        return bool(chosen)

    def tell(self, why: str) -> None:
        """Log that there is no room, but not each time."""
        if time.monotonic() - self._told >= TOLD_AGAIN:
            self._told = time.monotonic()
            log.warning(
                "%s; there are %d connections, %d of them idle, which are closed for new ones", why,
                len(self._open), len(self._idle),
            )  # fmt: skip

    def refuse(self, one: socket.socket) -> None:
        """Say why, and hang up. What has come is read first: else the kernel takes the answer back."""
        self._refused += 1
        with contextlib.suppress(OSError):
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.recv(READ)
            one.send(_refusal())
            one.shutdown(socket.SHUT_WR)
        one.close()

    def _chosen(self) -> list[Connection]:
        strangers = [one for one in self._idle if not one.is_known]
        if not strangers:
            return [one for one in self._idle if one.is_spare][: self._share()]
        of_address = Counter(one.address for one in strangers)
        strangers.sort(key=lambda one: -of_address[one.address])  # stable: the oldest stay first
        return strangers[: self._share()]

    def _share(self) -> int:
        return max(1, len(self._idle) // SHARE)

    def _states(self) -> dict[tuple[str, ...], float]:
        idle = len(self._idle)
        return {("idle",): idle, ("busy",): max(0, len(self._open) - idle)}


class Listener:
    """Accepts what comes to one socket, until it is stopped. ``take`` is given each connection, with its address."""

    def __init__(
        self, listening: socket.socket, connections: Connections, take: Callable[[socket.socket, Any], None]
    ) -> None:
        self._listening, self._connections, self._take = listening, connections, take
        self._loop, self._stopped = IOLoop.current(), False
        self._pause: object | None = None
        self._listen()

    def stop(self) -> None:
        """Accept no more; before the socket is closed."""
        self._stopped = True
        if self._pause is None:
            self._loop.remove_handler(self._listening)
        else:
            self._loop.remove_timeout(self._pause)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_handler(self._listening, self._accept, IOLoop.READ)

    def _accept(self, *which: object) -> None:
        for _ in range(AT_ONCE):
            if self._stopped:
                return
            try:
                one, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file, or no memory for one, is left (accept(2))
                self._connections.tell(f"connections: none can be accepted: {error.strerror}")
                if not self._connections.make_room():
                    self._rest()
                return
            self._decide(one, address)

    def _decide(self, one: socket.socket, address: Any) -> None:
        if self._connections.has_room():
            self._take(one, address)
        else:
            self._connections.refuse(one)

    def _rest(self) -> None:
        self._loop.remove_handler(self._listening)
        self._pause = self._loop.call_later(PAUSE, self._listen)


def _refusal() -> bytes:
    body = json.dumps(FULL.as_json()).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\n"
        f"Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
