"""A network between client and gateway that does to requests what networks do to them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit

RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: closing sends RST


class Harm(Enum):
    """What happens to a connection."""

    FIN = auto()  # closed in order, both ways
    RST = auto()
    HOLE = auto()  # nothing comes through any more, and nobody is told
    FLIP = auto()  # one bit changes; the connection goes on


@dataclass(frozen=True)
class Event:
    """``harm`` is done to the connection that brings byte ``at`` of all that clients send."""

    at: int
    harm: Harm


class BadNetwork:
    """A TCP proxy. ``events`` happen one after the other; ``every``: each connection is reset after so many bytes."""

    def __init__(self, upstream: str) -> None:
        self.upstream = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self.events: list[Event] = []
        self.every: int | None = None
        self.then: Callable[[], None] = lambda: None
        self.passed = self.happened = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.upstream)
        except OSError:
            client.close()
            return
        threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
        with suppress(OSError):
            self._pass_requests(client, server)
        for side in (client, server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        count = 0
        while data := client.recv(65536):
            count += len(data)
            harm = Harm.RST if self.every and count > self.every else self._harm(len(data))
            if harm is Harm.FLIP:
                data = data[:-1] + bytes([data[-1] ^ 1])
            elif harm is not None:
                self.then()
            if harm is Harm.HOLE:
                self._closed.wait()
            if harm is Harm.RST:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
            if harm in (Harm.RST, Harm.FIN):
                return
            server.sendall(data)

    def _harm(self, count: int) -> Harm | None:
        with self._lock:
            self.passed += count
            if not self.events or self.passed < self.events[0].at:
                return None
            self.happened += 1
            return self.events.pop(0).harm


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
