"""A gateway for the load: with limits as an admin may raise them, and its engine busy where that is wanted."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from .cases import BenchmarkFailed
from .drip import Drip
from .gateway import RunningGateway, gateway
from .measure import cpu_of
from .places import Folder

PATIENCE: Final = 600.0  # seconds for what must come


@dataclass(frozen=True, slots=True)
class Asked:
    """What the generator is to do; ``rate`` per second, None: closed."""

    connections: int
    seconds: float
    rate: int | None
    what: Mapping[str, Any]

    def plan(self) -> dict[str, Any]:
        return {"connections": self.connections, "seconds": self.seconds, "rate": self.rate, **self.what}


@dataclass(frozen=True, slots=True)
class LoadedGateway:
    """A running gateway, as its user and as its admin see it."""

    url: str
    token: str = field(repr=False)
    pid: int
    database: Path
    drip: Drip

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """The JSON of the answer. Raises ``BenchmarkFailed``."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        data = body if body is None or kind != "application/json" else json.dumps(body)
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, data, headers)  # type: ignore[arg-type]
            answer = connection.getresponse()
            said = answer.read()
        if answer.status >= 400:
            raise BenchmarkFailed(f"{method} {path.partition('?')[0]} was answered {answer.status}: {said[:500]!r}")
        return json.loads(said)

    def submit(self, files: list[dict[str, str]]) -> str:
        return str(self.ask("POST", "/api/v1/transfers", {"files": files})["transfer"]["id"])

    def submit_one(self, name: str) -> str:
        return self.submit([{"source": "source:/small", "destination": f"destination:/{name}"}])

    def status(self) -> Any:
        return self.ask("GET", "/api/v1/status")

    def until_idle(self) -> None:
        """All that was submitted is DONE."""
        self.until(lambda: self.count("state NOT IN ('DONE', 'FAILED', 'CANCELLED')") == 0)

    def until(self, condition: Any) -> float:
        """Seconds until it holds. Raises ``BenchmarkFailed``."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > PATIENCE:
                raise BenchmarkFailed("what was waited for did not come")
            time.sleep(0.1)
        return time.monotonic() - began

    def queued(self) -> int:
        return self.count("state = 'QUEUED'")

    def count(self, where: str) -> int:
        """Files, read from the database beside the gateway."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM file WHERE {where}").fetchone()[0])

    def cpu(self) -> float:
        return cpu_of(self.pid)

    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def threads(self) -> int:
        return int(psutil.Process(self.pid).num_threads())


@contextmanager
def free_gateway(folder: Path, limits: Mapping[str, int] | None = None) -> Iterator[LoadedGateway]:
    """One with nothing to do, and a small file at its source."""
    places = Folder(folder / "source"), Folder(folder / "destination")
    for place in places:
        place.prime()
    (places[0].path / "small").write_bytes(b"small\n")
    with Drip() as drip:
        lines = ["[limits]", *(f"{name} = {value}" for name, value in (limits or {}).items())]
        extra = "\n".join([*lines, "[egress]", f'allow = ["127.0.0.1:{drip.port}"]', ""])
        with gateway(folder, *places, extra=extra) as running:
            yield _loaded(running, folder, drip)


@contextmanager
def held_gateway(folder: Path) -> Iterator[LoadedGateway]:
    """One with a single slot, which a file that drips has taken: all else stays queued."""
    with free_gateway(folder, {"max_active": 1, "per_storage": 1}) as running:
        running.submit([{"source": f"{running.drip.url}/held", "destination": "destination:/held"}])
        running.until(lambda: running.status()["active"] == 1)
        yield running


def _loaded(running: RunningGateway, folder: Path, drip: Drip) -> LoadedGateway:
    return LoadedGateway(running.url, running.token, running.pid, folder / "state" / "scigate.db", drip)
