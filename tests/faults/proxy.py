"""A TCP proxy that does to connections what networks do to them, by rules that can be changed while it runs."""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

RESET: Final = struct.pack("ii", 1, 0)  # for SO_LINGER: closing sends RST
PIECE: Final = 1 << 16
TOKEN: Final = re.compile(rb"<flip-me-[0-9a-f]{6}>")
"""What data begins with that a flip is aimed at, see ``Proxy.flips``."""
TOKEN_SIZE: Final = 16


def token(number: int) -> bytes:
    """The first bytes of the data that flips are aimed at by ``number``."""
    return b"<flip-me-%06x>" % number


class Way(Enum):
    """The direction in which bytes go."""

    UP = auto()  # from the client to the server
    DOWN = auto()


class Harm(Enum):
    """What happens to a connection."""

    FIN = auto()  # closed in order, both ways
    RST = auto()
    HOLE = auto()  # nothing comes through any more, either way, and nobody is told
    FLIP = auto()  # one bit of the byte at this place changes; the connection goes on


@dataclass
class Rule:
    """``harm`` is done to the connection that brings byte ``at`` of one ``way``.

    Bytes are counted over all connections, or with ``each`` within each. ``connection``: only to the one of this
    number (from 1). ``times``: so often (None: always). ``then`` is called when it has happened.
    """

    harm: Harm
    at: int = 0
    way: Way = Way.UP
    each: bool = False
    connection: int | None = None
    times: int | None = 1
    bit: int = 0
    then: Callable[[], None] = lambda: None


@dataclass
class Wire:
    """A connection through the proxy."""

    number: int
    client: socket.socket
    server: socket.socket
    passed: Counter[Way] = field(default_factory=Counter)
    silent: threading.Event = field(default_factory=threading.Event)


@dataclass
class Proxy:
    """Passes bytes on to ``upstream`` (a URL). Everything may be changed at any time.

    ``latency`` is waited before each piece, in seconds; ``rate`` is in bytes per second and connection.
    ``flips``: where data begins with ``token(number)``, this bit of the byte at this place of the data changes (the
    token itself is spared), the next time it passes; several in the order in which the data passes.
    """

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    latency: dict[Way, float] = field(default_factory=dict)
    rate: dict[Way, int] = field(default_factory=dict)
    flips: dict[Way, dict[bytes, list[tuple[int, int]]]] = field(default_factory=lambda: {way: {} for way in Way})

    def __post_init__(self) -> None:
        parts = urlsplit(self.upstream)
        self._address = (parts.hostname, parts.port)
        self.passed: Counter[Way] = Counter()
        self.connections = self.happened = self.flipped = 0
        self._lock = threading.Lock()
        self._wires: list[Wire] = []
        self._closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections, and let those go that are in a hole."""
        self._closed.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def heal(self) -> None:
        """From now on a good network."""
        with self._lock:
            self.rules.clear()
            self.latency.clear()
            self.rate.clear()
            for flips in self.flips.values():
                flips.clear()

    def hang_up(self) -> None:
        """End all connections that are open, as a server does with idle ones: the next request needs a new one."""
        with self._lock:
            open_now, self._wires = self._wires, []
        for wire in open_now:
            _end(wire.client, reset=False)
            _end(wire.server, reset=False)

    def aim(self, way: Way, flips: Mapping[int, tuple[int, int]]) -> None:
        """Flip in the data of each number: (place, bit)."""
        with self._lock:
            for number, flip in flips.items():
                self.flips[way].setdefault(token(number), []).append(flip)

    # --- passing on ----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._connect, args=(client, self.connections), daemon=True).start()

    def _connect(self, client: socket.socket, number: int) -> None:
        try:
            server = socket.create_connection(self._address)
        except OSError:
            _end(client, reset=True)
            return
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(number, client, server)
        with self._lock:
            self._wires.append(wire)
        threading.Thread(target=self._pump, args=(wire, Way.DOWN), daemon=True).start()
        self._pump(wire, Way.UP)

    def _pump(self, wire: Wire, way: Way) -> None:
        source, sink = (wire.client, wire.server) if way is Way.UP else (wire.server, wire.client)
        aimed = _Aim(self, way)
        with suppress(OSError):
            while data := source.recv(PIECE):
                harm, data = self._judged(wire, way, data)
                self._take_time(way, len(data))
                if not wire.silent.is_set():
                    sink.sendall(aimed.taken(data))
                if harm is Harm.HOLE:
                    wire.silent.set()
                if wire.silent.is_set():
                    break
                if harm in (Harm.FIN, Harm.RST):
                    _end(wire.client, reset=harm is Harm.RST)
                    _end(wire.server, reset=harm is Harm.RST)
                    return
        if wire.silent.is_set():
            self._hold(wire)
            return
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        if way is Way.DOWN:  # a server that has ended its answer wants no more requests
            with suppress(OSError):
                wire.client.shutdown(socket.SHUT_RDWR)
            for side in (wire.client, wire.server):
                side.close()

    def _hold(self, wire: Wire) -> None:
        """Until the client has given up. Then the server learns of it: some wait for an hour."""
        with suppress(OSError, ValueError):
            poll = select.poll()
            poll.register(wire.client, select.POLLRDHUP)
            while not self._closed.is_set() and not poll.poll(100):
                pass
        _end(wire.server, reset=True)
        _end(wire.client, reset=True)

    def _take_time(self, way: Way, count: int) -> None:
        time.sleep(self.latency.get(way, 0.0))
        if rate := self.rate.get(way):
            time.sleep(count / rate)

    def _judged(self, wire: Wire, way: Way, data: bytes) -> tuple[Harm | None, bytes]:
        """What happens now, and what of the data still comes through before it."""
        with self._lock:
            places = {True: wire.passed[way], False: self.passed[way]}
            wire.passed[way] += len(data)
            self.passed[way] += len(data)
            for rule in [rule for rule in self.rules if rule.way is way and rule.connection in (None, wire.number)]:
                at = rule.at - places[rule.each]
                if at >= len(data) or (at < 0 and rule.each) or rule.times == 0:
                    continue
                self._use(rule)
                at = max(at, 0)
                if rule.harm is not Harm.FLIP:
                    return rule.harm, data[:at]
                data = _flipped(data, at, rule.bit)
        return None, data

    def _use(self, rule: Rule) -> None:
        self.happened += 1
        if rule.times is not None:
            rule.times -= 1
            if not rule.times:
                self.rules.remove(rule)
        rule.then()

    def next_flip(self, way: Way, found: bytes) -> tuple[int, int] | None:
        """Where the data that begins with this token is to be hit, if it is."""
        with self._lock:
            waiting = self.flips[way].get(found)
            return waiting.pop(0) if waiting else None

    def has_flipped(self) -> None:
        with self._lock:
            self.flipped += 1


class _Aim:
    """Hits the places that flips are aimed at, in the bytes of one way of one connection."""

    def __init__(self, proxy: Proxy, way: Way) -> None:
        self._proxy, self._way = proxy, way
        self._position = 0  # of the next byte
        self._tail = b""  # of what has passed: a token may begin in it
        self._due: list[tuple[int, int]] = []

    def taken(self, data: bytes) -> bytes:
        if not self._proxy.flips[self._way] and not self._due:
            self._position, self._tail = self._position + len(data), data[-TOKEN_SIZE + 1 :]
            return data
        self._find(data)
        end = self._position + len(data)
        for flip in [flip for flip in self._due if flip[0] < end]:
            data = _flipped(data, flip[0] - self._position, flip[1])
            self._due.remove(flip)
            self._proxy.has_flipped()
        self._position, self._tail = end, data[-TOKEN_SIZE + 1 :]
        return data

    def _find(self, data: bytes) -> None:
        seen = self._tail + data
        for found in TOKEN.finditer(seen):
            if flip := self._proxy.next_flip(self._way, found[0]):
                place, bit = flip
                self._due.append((self._position - len(self._tail) + found.start() + max(place, TOKEN_SIZE), bit))


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def _end(side: socket.socket, *, reset: bool) -> None:
    with suppress(OSError):
        if reset:
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        side.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)  # wakes the thread that reads from it
    side.close()
