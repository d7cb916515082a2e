"""The load generator: raw HTTP/1.1 over kept connections, in a process of its own, so that its cost is its own.

``closed``: each connection asks again as soon as it is answered. ``open``: requests are due at a fixed rate, whatever
the server does, and a request's time runs from when it was due: one that waits for a free connection has waited.
Reads its plan as JSON from standard input; writes one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import secrets
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

GRACE: Final = 10.0  # seconds for the answers that are still on their way
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask of whom, how, for how long. ``rate`` (requests per second) makes it open; ``gets`` are paths."""

    port: int
    token: str = field(repr=False)
    connections: int
    seconds: float
    rate: float | None = None
    gets: Sequence[str] = ()
    submits: Mapping[str, Any] | None = None
    """The body of each POST; ``{n}`` in it becomes a number that is new each time."""
    seed: int = 1


@dataclass(slots=True)
class Seen:
    """What was answered: milliseconds of each request, and how often each status."""

    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0


class Requests:
    """Makes the bytes of one request after the other."""

    def __init__(self, load: Load) -> None:
        self._random = random.Random(load.seed)
        head = f"HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nAuthorization: Bearer {load.token}\r\n"
        self._gets = [f"GET {path} {head}\r\n".encode() for path in load.gets]
        self._head, self._number, self._run = head, 0, secrets.token_hex(8)
        self._body = None if load.submits is None else json.dumps(load.submits)

    def next(self) -> bytes:
        if self._body is None:
            return self._random.choice(self._gets)
        self._number += 1
        body = self._body.replace("{n}", f"{self._run}-{self._number}")
        return (
            f"POST /api/v1/transfers {self._head}Idempotency-Key: {self._run}-{self._number}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Client(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, seen: Seen, free: Callable[[Client], None]) -> None:
        self._seen, self._free = seen, free
        self._received = bytearray()
        self._began: float | None = None
        self._length = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, began: float) -> None:
        assert self._transport is not None
        self._began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._length < 0 and (end := self._received.find(_END)) >= 0:
            self._length = end + 4 + _content_length(self._received[:end])
        if 0 <= self._length <= len(self._received):
            self._answered()

    def connection_lost(self, _: Exception | None) -> None:
        if self._began is not None:
            self._began = None
            self._seen.lost += 1

    def close(self) -> None:
        self._began = None
        if self._transport is not None:
            self._transport.close()

    def _answered(self) -> None:
        assert self._began is not None
        self._seen.times.append(1000 * (time.perf_counter() - self._began))
        self._seen.statuses[int(self._received[9:12])] += 1
        del self._received[: self._length]
        self._length, self._began = -1, None
        self._free(self)


def _content_length(head: bytearray) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def measure(load: Load) -> dict[str, Any]:
    """Put the load on; what was seen of it, and what this process took itself."""
    seen, requests = Seen(), Requests(load)
    before, began = _cpu(), time.perf_counter()
    run = _closed if load.rate is None else _open
    await run(load, seen, requests)
    seconds = time.perf_counter() - began
    return {**summary(seen, seconds), "client_cpu": _cpu() - before}


async def _closed(load: Load, seen: Seen, requests: Requests) -> None:
    end = time.perf_counter() + load.seconds
    busy = load.connections
    over = asyncio.Event()

    def again(client: Client) -> None:
        nonlocal busy
        if (now := time.perf_counter()) < end:
            client.ask(requests.next(), now)
        else:
            busy -= 1
            if not busy:
                over.set()

    clients = await _connected(load, seen, again)
    for client in clients:
        client.ask(requests.next(), time.perf_counter())
    await _until(over, load.seconds + GRACE)
    _close(clients)


async def _open(load: Load, seen: Seen, requests: Requests) -> None:
    assert load.rate is not None
    free: list[Client] = []
    due: deque[float] = deque()

    def given_back(client: Client) -> None:
        if due:
            client.ask(requests.next(), due.popleft())
        else:
            free.append(client)

    clients = await _connected(load, seen, given_back)
    free.extend(clients)
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + load.seconds:
        while began + sent / load.rate <= now:
            due.append(began + sent / load.rate)
            sent += 1
        while due and free:
            free.pop().ask(requests.next(), due.popleft())
        await asyncio.sleep(max(0.0, began + sent / load.rate - time.perf_counter()))
    end = time.perf_counter() + GRACE
    while len(free) + seen.lost < load.connections and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    seen.lost += len(due)
    _close(clients)


async def _connected(load: Load, seen: Seen, free: Callable[[Client], None]) -> list[Client]:
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(load.connections):
        _, client = await loop.create_connection(lambda: Client(seen, free), "127.0.0.1", load.port)
        clients.append(client)
    return clients


async def _until(over: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return


def _close(clients: Sequence[Client]) -> None:
    for client in clients:
        client.close()


def summary(seen: Seen, seconds: float) -> dict[str, Any]:
    """Rates and quantiles; milliseconds."""
    times = sorted(seen.times)
    at = {name: round(_quantile(times, part), 2) for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
    longest = round(times[-1], 2) if times else None
    statuses = {str(status): count for status, count in sorted(seen.statuses.items())}
    return {
        "answered": len(times), "seconds": round(seconds, 2), "rate": round(len(times) / seconds, 1), **at,
        "longest": longest, "statuses": statuses, "lost": seen.lost,
    }  # fmt: skip


def _quantile(times: Sequence[float], part: float) -> float:
    return times[min(len(times) - 1, int(part * len(times)))] if times else 0.0


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run the plan that stands on standard input."""
    load = Load(**json.load(sys.stdin))
    print(json.dumps(asyncio.run(measure(load))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
