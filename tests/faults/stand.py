"""A gateway under test, in this process or as one of its own: asked over a real socket, judged by looking at its
storages and its database directly."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build
from scigate.storage_backends.testing.servers import free_ports
from sqlalchemy import create_engine

from tests.audit import contradictions
from tests.evidence import record

USERS: Final = ("ada", "bo")
TOKENS: Final = {name: f"token-of-{name}-{'x' * 16}" for name in USERS}
PROGRAM: Final = "from tests.faults.stand import serve; import sys; serve(sys.argv[1])"
FINAL: Final = ("DONE", "FAILED", "CANCELLED")


class Stand:
    """A gateway in this process. ``storages``: name → a folder, or the table of its settings."""

    def __init__(
        self, folder: Path, *, storages: Mapping[str, Path | Mapping[str, Any]] | None = None,
        state: Path | None = None, database: str | None = None, limits: Mapping[str, Any] | None = None,
        egress: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.state, self.database = folder, state or folder / "state", database
        self.roots: dict[str, Path] = {}
        tables = {name: self._table(name, given) for name, given in (storages or {"lab": None, "out": None}).items()}
        (self.port,) = free_ports(1)
        self.config = folder / "scigate.toml"
        self.config.write_text(self._settings(tables, limits or {}, egress))
        self._clients: dict[str, httpx.Client] = {}
        self._owners: dict[str, str] = {}
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        assert self._service is not None
        return self._service

    @property
    def url(self) -> str:
        return self.database or f"sqlite:///{self.state}/scigate.db"

    @property
    def database_file(self) -> Path:
        return self.state / "scigate.db"

    def root(self, name: str) -> Path:
        return self.roots[name]

    def start(self) -> Stand:
        self._service = build(Settings.load(self.config))
        self._service.start()
        return self

    def stop(self) -> None:
        self._hang_up()
        if self._service:
            self._service.stop()
            self._service = None

    def close(self) -> None:
        self.stop()

    # --- asking

    def client(self, user: str = "ada") -> httpx.Client:
        if user not in self._clients:
            headers = {"Authorization": f"Bearer {TOKENS[user]}"}
            address = f"http://127.0.0.1:{self.port}"
            self._clients[user] = httpx.Client(base_url=address, headers=headers, timeout=60, verify=False)
        return self._clients[user]

    def _hang_up(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def post(self, *pairs: tuple[str, str], user: str = "ada", key: str = "", **options: Any) -> httpx.Response:
        """Submit a transfer; whatever the answer is."""
        files = [{"source": source, "destination": destination} for source, destination in pairs]
        headers = {"Idempotency-Key": key} if key else {}
        return self.client(user).post("/api/v1/transfers", json={"files": files, **options}, headers=headers)

    def submit(self, *pairs: tuple[str, str], user: str = "ada", **options: Any) -> str:
        """The path of a transfer that was accepted."""
        answer = self.post(*pairs, user=user, **options)
        assert answer.status_code == 202, answer.text
        location = str(answer.headers["Location"])
        self._owners[location] = user
        return location

    def get(self, transfer: str) -> dict[str, Any]:
        return self._json(transfer)

    def files(self, transfer: str) -> list[dict[str, Any]]:
        return list(self._json(f"{transfer}/files?limit=1000")["items"])

    def file(self, transfer: str) -> dict[str, Any]:
        (found,) = self.files(transfer)
        return found

    def events(self, transfer: str) -> list[str]:
        """The types of a transfer's events about files, in order."""
        items = self._json(f"{transfer}/events?limit=1000")["items"]
        return [event["type"].removeprefix("scigate.file.") for event in items if event["type"].startswith("scigate.f")]

    def ask(self, transfer: str, wish: str) -> None:
        answer = self.client().post(f"{transfer}/{wish}")
        assert answer.is_success, answer.text

    def wait(self, transfer: str, seconds: float = 150) -> dict[str, Any]:
        """The transfer once it is final."""
        until(lambda: self.get(transfer)["finished"] is not None, seconds, lambda: self.tell(transfer))
        return self.get(transfer)

    def wait_for(self, transfer: str, *states: str, seconds: float = 150) -> dict[str, Any]:
        """Its one file once it is in one of these states."""
        seen: list[dict[str, Any]] = []

        def reached() -> bool:
            seen[:] = [self.file(transfer)]
            return seen[0]["state"] in states

        until(reached, seconds, lambda: self.tell(transfer))
        return seen[0]

    def tell(self, transfer: str) -> str:
        return f"{self.get(transfer)}\n{self.files(transfer)[:4]}\n{self.events(transfer)[-20:]}"

    def _json(self, path: str) -> dict[str, Any]:
        owner = next((user for transfer, user in self._owners.items() if path.startswith(transfer)), "ada")
        answer = self.client(owner).get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # --- looking

    def judge(self) -> list[str]:
        """What is wrong, once the gateway has stopped or rests: files that are DONE and not what was to be copied,
        drafts that nobody needs, records that contradict themselves."""
        return [*self.wrong_records(), *self.wrong_files(), *self.leftovers()]

    def settle(self, area: str, began: float, runs: int = 1, **figures: Any) -> None:
        """The end of a test: wait until nothing is left over, stop, look at everything, write the evidence of ``runs``
        scenarios since ``began``, and fail if anything is wrong."""
        with suppress(AssertionError):
            until(lambda: not self.leftovers(), 150)
        self.stop()
        wrong = self.judge()
        record(area, runs=runs, bad=len(wrong), seconds=time.monotonic() - began, **figures)
        assert wrong == []

    def wrong_records(self) -> list[str]:
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return contradictions(connection)
        finally:
            engine.dispose()

    def wrong_files(self) -> Iterator[str]:
        """DONE files whose bytes are not those of their source as it is now; both in folders."""
        for row in self.rows("SELECT * FROM file WHERE state = 'DONE' AND NOT skipped"):
            source, destination = (self._path(row, end) for end in ("source", "destination"))
            if source is None or destination is None or not source.exists():
                continue
            if not destination.is_file() or destination.read_bytes() != source.read_bytes():
                yield f"{destination} is DONE and not what {source} is"

    def leftovers(self) -> list[str]:
        """Drafts in the folders."""
        return [f"{path} was left behind" for root in self.roots.values() for path in drafts(root)]

    def rows(self, query: str) -> list[dict[str, Any]]:
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.exec_driver_sql(query).mappings()]
        finally:
            engine.dispose()

    def integrity(self) -> str:
        with closing(sqlite3.connect(self.database_file)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])

    def _path(self, row: Mapping[str, Any], end: str) -> Path | None:
        root = self.roots.get(row[f"{end}_storage"])
        return root / os.fsdecode(bytes(row[f"{end}_path"])) if root else None

    # --- settings

    def _table(self, name: str, given: Path | Mapping[str, Any] | None) -> Mapping[str, Any]:
        if given is not None and not isinstance(given, Path):
            if "root" in given:
                self.roots[name] = Path(given["root"])
            return given
        root = given or self.folder / name
        root.mkdir(exist_ok=True)
        self.roots[name] = root
        return {"type": "posix", "root": str(root), "verify_from": "cache"}

    def _settings(
        self, tables: Mapping[str, Mapping[str, Any]], limits: Mapping[str, Any], egress: tuple[str, ...]
    ) -> str:
        sections: dict[str, Mapping[str, Any]] = {
            "gateway": {"port": self.port, "state_dir": str(self.state)},
            "limits": {"reconcile_seconds": 1, **limits},
            "egress": {"allow": list(egress)},
        }
        if self.database:
            (self.folder / "database-url").write_text(self.database)
            sections["database"] = {"url": {"file": str(self.folder / "database-url")}}
        sections |= {f"storages.{name}": table for name, table in tables.items()}
        for name, token in TOKENS.items():
            sections[f"users.{name}"] = {"token_hash": f"sha256:{sha256(token.encode()).hexdigest()}"}
        return "\n".join(f"[{name}]\n{_toml(table)}" for name, table in sections.items())


class Program(Stand):
    """The same as a process. ``wrapped``: the words before its command; ``environment``: more variables."""

    def __init__(
        self, folder: Path, *, wrapped: tuple[str, ...] = (), environment: Mapping[str, str] | None = None,
        log: Path | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(folder, **options)
        self._wrapped, self._environment = wrapped, environment or {}
        self.log_file = log or folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def launch(self) -> subprocess.Popen[bytes]:
        """Begin to start; it may not answer yet, or never."""
        command = ["setpriv", "--pdeathsig", "KILL", *self._wrapped, sys.executable, "-c", PROGRAM, str(self.config)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).parents[2],
                env={**os.environ, **self._environment},
            )  # fmt: skip
        return self._process

    def start(self) -> Program:
        process = self.launch()
        until(lambda: process.poll() is not None or self.answers(), 150, self.log)
        assert process.poll() is None, self.log()
        return self

    @property
    def pid(self) -> int:
        """Of the gateway itself, also when it runs inside another program."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self._hang_up()
        if self._process and self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-6000:] if self.log_file.exists() else ""


def serve(config: str) -> None:
    """What the process of a ``Program`` does."""
    from scigate.gateway_api.transfers import engine, machine, scheduler
    from scigate.gateway_api.wiring import serve

    for module, name, value in (
        (machine, "FIRST_DELAY", 0.1), (machine, "LONGEST_DELAY", 0.5), (scheduler, "FIRST_REST", 0.2),
        (engine, "TICK", 0.05),
    ):  # fmt: skip
        setattr(module, name, value)
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:  # libfaketime 0.9.10 lets clock_nanosleep(2) fail with EINVAL
        time.sleep = lambda seconds: threading.Event().wait(seconds) and None
    serve(Settings.load(Path(config)))


def until(reached: Callable[[], bool], seconds: float = 150, tell: Callable[[], str] = str) -> None:
    """Wait until something is so; fail if it is not within ``seconds``."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not reached within {seconds} s. {tell()}"
        time.sleep(0.02)


def drafts(root: Path) -> list[Path]:
    """Hidden files of ours below a folder."""
    return [Path(here) / name for here, _, names in os.walk(root) for name in names if name.startswith(".scigate-")]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that this is a whole problem document (RFC 9457) that says whether to come again."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["title"]
    assert body["next_step"]
    assert "Traceback" not in answer.text
    if body["retriable"] and status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return body


def _toml(table: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{ " + ", ".join(f"{key} = {text(inner)}" for key, inner in value.items()) + " }"
        return json.dumps(value)

    return "".join(f"{key} = {text(value)}\n" for key, value in table.items())
