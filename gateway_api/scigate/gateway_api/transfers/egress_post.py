"""A single POST through the door: to an address that was vetted, never redirected, ended in time whatever happens.

Each try opens a connection of its own, so that each try is judged anew. Of the answer only its head counts; some of
its body is read so that the receiver does not see its connection reset, and nothing of it is ever shown to anybody:
else a URL that leads to a server inside a site would read that server for a stranger.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from scigate.storage_backends.backend import KiB
from scigate.storage_backends.errors import StorageError, Unreachable
from scigate.storage_backends.wire import Pool, Response, Target, tls_context

from .egress import Egress, Resolve

WITHIN: Final = timedelta(seconds=15)
ANSWER_MAX: Final = 64 * KiB


@dataclass(frozen=True, slots=True)
class Posted:
    """The head of an answer."""

    status: int
    retry_after: str | None


class Poster:
    """Posts, each within ``within`` from the resolution of the name to the end of the answer. Thread-safe."""

    def __init__(self, egress: Egress, within: timedelta = WITHIN) -> None:
        self._egress, self._within = egress, within
        self._running: set[_Watch] = set()
        self._lock = threading.Lock()
        self._closed = False

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """POST ``body`` once. ``InvalidUrl``, ``EgressRefused``, or ``Unreachable`` if no answer's head came."""
        target = self._egress.check_form(url)
        with self._watched(target) as watch:
            tls = self._tls if target.scheme == "https" else None
            pool = Pool(watch.connect, tls, connect_timeout=self._within, stall=self._within)
            try:
                return _answered(pool.request("POST", target, {**headers, "Connection": "close"}, body))
            except StorageError as error:
                raise watch.explained(error) from None
            finally:
                pool.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made when it is needed: to read the system's authorities takes a quarter of a gateway's start."""
        return tls_context()

    def close(self) -> None:
        """End all tries now; none begins any more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for watch in running:
            watch.end()

    @contextlib.contextmanager
    def _watched(self, target: Target) -> Iterator[_Watch]:
        watch = _Watch(self._egress, target, self._within.total_seconds())
        with self._lock:
            if self._closed:
                raise Unreachable("the gateway is stopping")
            self._running.add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._running.discard(watch)
            watch.close()


def _answered(response: Response) -> Posted:
    """The head; the body is dropped, and what is wrong with it changes nothing."""
    posted = Posted(response.status, response.headers.get("retry-after"))
    with contextlib.suppress(StorageError):
        response.read_all(ANSWER_MAX)
    response.close()
    return posted


class _Watch:
    """One try: shuts its connection down when its time is over, since timeouts of a socket bound single waits only."""

    def __init__(self, egress: Egress, target: Target, seconds: float) -> None:
        self._egress, self._target = egress, target
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()
        self._ended = False

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """As ``Egress.connect``, within the time that is left."""
        self._timer.start()
        connected = self._egress.connect(host, port, min(timeout, max(0.001, self._deadline - time.monotonic())))
        with self._lock:
            self._handle = connected.dup()  # TLS takes the descriptor over; this one still reaches the connection
        if self._ended:
            self.end()
        return connected

    def end(self) -> None:
        """Whoever waits at this connection sees its end."""
        with self._lock:
            self._ended = True
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    def explained(self, error: StorageError) -> StorageError:
        """What ended the try: often the time."""
        if not self._ended and time.monotonic() < self._deadline:
            return error
        return Unreachable(f"{self._target.host_header} did not answer within {self._seconds:.0f} seconds")

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None


def resolve_within(seconds: float, resolve: Resolve) -> Resolve:
    """``resolve``, given up after so many seconds: a system's resolver may take minutes over a name server that hangs.

    Its thread stays behind until the resolver itself gives up.
    """

    def bounded(host: str, port: int) -> Sequence[str]:
        found: Future[Sequence[str]] = Future()
        threading.Thread(target=_settle, args=(found, resolve, host, port), name="resolver", daemon=True).start()
        try:
            return found.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"no name server answered within {seconds:.0f} seconds") from None

    return bounded


def _settle(found: Future[Sequence[str]], resolve: Callable[[str, int], Sequence[str]], host: str, port: int) -> None:
    try:
        found.set_result(resolve(host, port))
    except (OSError, ValueError) as error:  # UnicodeError is a ValueError
        found.set_exception(error)
