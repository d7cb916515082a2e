"""An engine on real databases and real storages, with its parts within reach."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.resources import FileState, Transfer, TransferFile, TransferRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.engine import Engine, EngineSettings
from scigate.gateway_api.transfers.scheduler import SlotLimits
from scigate.gateway_api.transfers.store import TransferStore
from scigate.storage_backends.backend import Backend, MiB
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.layers import Fault, Meter, compose
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.posix import TYPE as POSIX

from tests.audit import contradictions
from tests.sending import Sender

SLOTS = SlotLimits(total=4, per_owner=4, per_storage=4)


@dataclass
class Lab:
    """A gateway's database, storages and engine. ``backends`` may be changed while nothing runs. ``block``: the length
    of the blocks of posix storages; a module that is about blocks, not about how long they are, has a short BLOCK."""

    database: Database
    folder: Path
    backends: dict[str, Backend] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    engine: Engine | None = None
    sender: Sender | None = None
    block: int = 32 * MiB

    def __post_init__(self) -> None:
        self.store = TransferStore(self.database, lambda storage, path: None)

    def posix(self, name: str, *faults: Fault, wrap: Callable[[Backend], Backend] = lambda inner: inner) -> Path:
        """A storage on a folder of its own, which is returned."""
        root = self.folder / name
        root.mkdir(exist_ok=True)
        backend: Any = POSIX.build(POSIX.options(root=str(root), verify_from="cache"))
        backend.limits = replace(backend.limits, block_preferred=self.block)
        self.add(name, wrap(backend), *faults)
        return root

    def memory(self, name: str, *faults: Fault, **options: Any) -> Backend:
        """A storage in memory; the bare one is returned."""
        backend = MEMORY.build(MEMORY.options(**options))
        self.add(name, backend, *faults)
        return backend

    def add(self, name: str, backend: Backend, *faults: Fault) -> None:
        self.meters[name] = Meter()
        self.backends[name] = compose(backend, faults=faults, meter=self.meters[name])

    def backend(self, name: str) -> Backend:
        if name not in self.backends:
            raise NotFound(f"there is no storage {name!r}")
        return self.backends[name]

    def start(self, folder: str = "state", **options: Any) -> Engine:
        """An engine, started. It ends with the test."""
        options = {"slots": SLOTS, "streams": 2, "reconcile_every": 0.3, **options}
        self.engine = self.new_engine(folder, **options)
        self.store.progress, self.store.on_new = self.engine.progress, self.engine.look
        self.store.on_queued = self.engine.look_at_queued
        self.engine.start()
        return self.engine

    def new_engine(self, folder: str, **options: Any) -> Engine:
        settings = EngineSettings(**options)
        staging = self.sender.source if self.sender else None
        return Engine(self.database, self.backend, _no_urls, settings, self.folder / folder, staging=staging)

    def uploads(self) -> Sender:
        """Somebody who sends; to be asked for before the engine starts. A second one has lost what it knew."""
        self.sender = Sender(self.database, self.folder / "staging")
        self.add(self.sender.gateway, self.sender.source)
        return self.sender

    def stop(self) -> None:
        if self.engine:
            self.engine.stop(timedelta(seconds=120))  # over as soon as nothing moves
            self.engine = None

    def submit(self, *pairs: tuple[str, str], owner: str = "ada", key: str | None = None, **options: Any) -> str:
        files = [{"source": source, "destination": destination} for source, destination in pairs]
        request = TransferRequest.model_validate({"files": files, **options})
        allow = {"may_read": lambda name: None, "may_write": lambda name: None, "check_url": lambda url: None}
        read = submission.read(request, **allow)
        return self.store.submit(owner, read, key=key, fingerprint=submission.fingerprint(request)).transfer.id

    def wait(self, transfer: str, seconds: float = 120) -> Transfer:
        """The transfer once it is finished."""
        self.until(lambda: self.store.get(transfer, None).state.is_final, seconds, lambda: self.tell(transfer))
        return self.store.get(transfer, None)

    def run(self, *pairs: tuple[str, str], **options: Any) -> Transfer:
        return self.wait(self.submit(*pairs, **options))

    def files(self, transfer: str, state: FileState | None = None) -> list[TransferFile]:
        return list(self.store.files(transfer, None, state=state, after=None, limit=100_000).items)

    def file(self, transfer: str) -> TransferFile:
        (found,) = self.files(transfer)
        return found

    def file_in(self, transfer: str, state: FileState) -> TransferFile:
        """The file as it was found in this state, in which it need not stay."""
        seen: list[TransferFile] = []

        def found() -> bool:
            seen.append(self.file(transfer))
            return seen[-1].state is state

        self.until(found, tell=lambda: self.tell(transfer))
        return seen[-1]

    def types(self, transfer: str) -> list[str]:
        """The journal, without the words that all lines share."""
        events = self.store.events(transfer, None, after=0, limit=100_000).items
        return [event.type.removeprefix("scigate.file.") for event in events if event.subject]

    def until(self, reached: Callable[[], bool], seconds: float = 120, tell: Callable[[], str] = str) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not reached within {seconds} s. {tell()}"
            time.sleep(0.01)

    def tell(self, transfer: str) -> str:
        return f"{self.store.get(transfer, None)}\n{self.files(transfer)[:5]}\n{self.types(transfer)[-20:]}"

    def contradictions(self) -> list[str]:
        with self.database.read() as connection:
            return contradictions(connection)


def _no_urls(url: str) -> tuple[Backend, str]:
    raise NotFound(f"no outside URLs here: {url}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and rests as ever, only sooner."""
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.FIRST_DELAY", 0.1)
    monkeypatch.setattr("scigate.gateway_api.transfers.scheduler.FIRST_REST", 0.2)
    monkeypatch.setattr("scigate.gateway_api.transfers.engine.TICK", 0.05)


@pytest.fixture
def sqlite_url(database_with_tables: Callable[[str], str]) -> str:
    return database_with_tables("sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, database_with_tables: Callable[[str], str]) -> str:
    """The URL of a database of either kind, without rows."""
    return database_with_tables(request.param)


def _lab(url: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    migrate(url)
    lab = Lab(Database(url), folder, block=getattr(request.module, "BLOCK", 32 * MiB))
    yield lab
    lab.stop()
    wrong = lab.contradictions()
    lab.database.close()
    assert wrong == [], "the records contradict themselves"


@pytest.fixture
def lab(sqlite_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """On SQLite. After the test the records must be sound, whatever happened."""
    yield from _lab(sqlite_url, tmp_path, request)


@pytest.fixture
def any_lab(any_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """On SQLite and on PostgreSQL."""
    yield from _lab(any_url, tmp_path, request)


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int], bytes]:
    """``noise(size, seed)``: bytes that look random and are the same every time."""

    def make(size: int, seed: int = 0) -> bytes:
        import random

        return random.Random(seed).randbytes(size)

    return make


@pytest.fixture(scope="session")
def large(noise: Callable[[int, int], bytes]) -> bytes:
    """A file of three blocks of 32 MiB, the last of them short."""
    return noise(8 * MiB, 7) * 9
