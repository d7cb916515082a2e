"""What a long queue, many files at once and one huge transfer do to a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from . import load
from .load_gateway import Asked, LoadedGateway, free_gateway, held_gateway
from .measure import MemoryPeak, Stopwatch

AT_ONCE: Final = 10_000  # files in one request
RATE: Final = 100  # requests per second while much else goes on
WATCHED: Final = 10.0  # seconds for which claims are watched


def queued(folder: Path, count: int, seconds: float) -> dict[str, Any]:
    """So many files in the queue: how the API answers, what the gateway takes at rest, and what a claim costs."""
    with held_gateway(folder) as gateway:
        short = _claims(gateway, min(count, 2 * AT_ONCE), "short")
        filling = Stopwatch()
        for first in range(0, count, AT_ONCE):
            gateway.submit(_files("long", first, min(AT_ONCE, count - first)))
        filled = filling.read()
        before = gateway.cpu()
        time.sleep(min(5.0, seconds))
        rest = (gateway.cpu() - before) / min(5.0, seconds)
        answers = load.load(gateway, _look(gateway, seconds))
        found, long = gateway.queued(), _progress(gateway)
        return {
            "files": found, "fill_seconds": round(filled, 2), "rest_cpu": round(rest, 3), "answers": answers,
            "rss": gateway.rss(), "short": short, "long": long,
        }  # fmt: skip


def _claims(gateway: LoadedGateway, count: int, name: str) -> dict[str, float]:
    """Let the engine at a queue of ``count`` for a while, and hold it again."""
    for first in range(0, count, AT_ONCE):
        gateway.submit(_files(name, first, min(AT_ONCE, count - first)))
    found = _progress(gateway)
    gateway.until(lambda: gateway.queued() == 0)
    gateway.submit([{"source": f"{gateway.drip.url}/again", "destination": "destination:/again"}])
    gateway.until(lambda: gateway.status()["active"] == 1)
    return found


def _progress(gateway: LoadedGateway) -> dict[str, float]:
    """Cancel what drips, so that the slot is free; then files per second, and CPU milliseconds for each."""
    done = "state = 'DONE'"
    start = gateway.count(done)  # before anything can move: a short queue may be over in a moment
    for transfer in gateway.ask("GET", "/api/v1/transfers?state=ACTIVE&limit=10")["items"]:
        if transfer["files"]["active"]:
            gateway.ask("POST", f"/api/v1/transfers/{transfer['id']}/cancel")
    gateway.until(lambda: gateway.count(done) > start)
    before, cpu, watch = gateway.count(done), gateway.cpu(), Stopwatch()
    while watch.read() < WATCHED and gateway.queued():
        time.sleep(0.2)
    seconds, files = watch.read(), max(1, gateway.count(done) - before)
    return {"files_per_second": round(files / seconds, 1), "cpu_ms": round(1000 * (gateway.cpu() - cpu) / files, 2)}


def active(folder: Path, count: int, seconds: float) -> dict[str, Any]:
    """So many files that move at the same time, each from a source that drips."""
    limits = {"max_active": count, "per_storage": count, "batch_files": 1}
    with free_gateway(folder, limits) as gateway:
        files = [{"source": f"{gateway.drip.url}/{n}", "destination": f"destination:/{n}"} for n in range(count)]
        gateway.submit(files)
        took = gateway.until(lambda: gateway.status()["active"] >= count)
        answers = load.load(gateway, _look(gateway, seconds))
        return {
            "files": gateway.status()["active"], "until_active": round(took, 1), "answers": answers,
            "rss": gateway.rss(), "threads": gateway.threads(),
        }  # fmt: skip


def million(folder: Path, count: int) -> dict[str, Any]:
    """One transfer of so many files in one request; its memory is the largest from before the request to the end."""
    with held_gateway(folder) as gateway, MemoryPeak(gateway.pid) as peak:
        watch, cpu = Stopwatch(), gateway.cpu()
        target = "/api/v1/transfers/bulk?overwrite=skip-same"
        answer = gateway.ask("POST", target, _lines(count), "application/x-ndjson")["transfer"]
        answered, path = watch.read(), f"/api/v1/transfers/{answer['id']}"
        longest = _until_listed(gateway, path)
        whole, shown = watch.read(), gateway.ask("GET", path)
        return {
            "files": shown["files"]["total"], "answered": round(answered, 2), "listed": round(whole, 2),
            "cpu": round(gateway.cpu() - cpu, 2), "rss": peak.bytes, "longest_get": round(1000 * longest, 1),
        }  # fmt: skip


def _until_listed(gateway: LoadedGateway, path: str) -> float:
    """The longest of the GETs that look at it meanwhile, in seconds."""
    longest = 0.0
    while True:
        watch = Stopwatch()
        listing = gateway.ask("GET", path)["listing"]
        longest = max(longest, watch.read())
        if not listing:
            return longest
        time.sleep(0.1)


def _look(gateway: LoadedGateway, seconds: float) -> Asked:
    newest = gateway.ask("GET", "/api/v1/transfers?limit=1")["items"][0]["id"]
    show = f"/api/v1/transfers/{newest}"
    paths = [show, f"{show}/files?limit=20", f"{show}/events?limit=20", "/api/v1/transfers?limit=20", "/api/v1/status"]
    return Asked(16, seconds, RATE, {"gets": paths})


def _files(name: str, first: int, count: int) -> list[dict[str, str]]:
    numbers = range(first, first + count)
    return [{"source": "source:/small", "destination": f"destination:/{name}/{n:07d}"} for n in numbers]


def _lines(count: int) -> Iterator[bytes]:
    """The body, made while it is sent."""
    for first in range(0, count, 1000):
        numbers = range(first, min(first + 1000, count))
        line = '{{"source":"source:/run/{n:07d}.dat","destination":"destination:/run/{n:07d}.dat"}}\n'
        yield "".join(line.format(n=n) for n in numbers).encode()
