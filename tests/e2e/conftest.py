"""Engines as processes, a database that tests read, and a real S3 server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.resources import Transfer, TransferFile, TransferRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.store import TransferStore
from scigate.storage_backends.testing.servers import S3Server

from tests.audit import contradictions

from .engine_process import EngineProcess


@dataclass
class Site:
    """Storages, a database, and the engines that are started on them."""

    folder: Path
    url: str
    storages: dict[str, dict[str, Any]] = field(default_factory=dict)
    engines: list[EngineProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        migrate(self.url)
        self.database = Database(self.url)
        self.store = TransferStore(self.database, lambda storage, path: None)

    def posix(self, name: str) -> Path:
        root = self.folder / name
        root.mkdir()
        self.storages[name] = {"type": "posix", "root": str(root), "verify_from": "cache"}
        return root

    def s3(self, name: str, server: S3Server) -> None:
        key = self.folder / f"{name}.key"
        key.write_text(server.secret_key)
        self.storages[name] = {
            "type": "s3", "endpoint": server.endpoint, "bucket": server.bucket, "access_key": server.access_key,
            "secret_key": {"file": str(key)}, "region": server.region, "prefix": f"{self.folder.name}/{name}/",
        }  # fmt: skip

    def start(self, state: str = "state", **options: Any) -> EngineProcess:
        given = {"url": self.url, "folder": str(self.folder / state), "storages": self.storages, **options}
        try:
            self.engines.append(EngineProcess(given, self.folder / "log"))
        except EOFError:
            pytest.fail(f"the engine did not start:\n{self.log()}")
        return self.engines[-1]

    def end(self, process: EngineProcess) -> int:
        """End an engine gracefully; returns the most memory it ever had, in bytes."""
        return process.end()

    def submit(self, *pairs: tuple[str, str], **options: Any) -> str:
        files = [{"source": source, "destination": destination} for source, destination in pairs]
        request = TransferRequest.model_validate({"files": files, **options})
        allow: dict[str, Callable[[str], None]] = {
            name: lambda _: None for name in ("may_read", "may_write", "check_url")
        }
        return self.store.submit("ada", submission.read(request, **allow), key=None, fingerprint="f").transfer.id

    def get(self, transfer: str) -> Transfer:
        return self.store.get(transfer, None)

    def files(self, transfer: str) -> list[TransferFile]:
        return list(self.store.files(transfer, None, state=None, after=None, limit=100_000).items)

    def types(self, transfer: str) -> list[str]:
        events = self.store.events(transfer, None, after=0, limit=100_000).items
        return [event.type.removeprefix("scigate.") for event in events]

    def wait(self, transfer: str, seconds: float = 120) -> Transfer:
        self.until(lambda: self.get(transfer).state.is_final, seconds)
        return self.get(transfer)

    def until(self, reached: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not reached within {seconds} s:\n{self.log()}"
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def close(self) -> list[str]:
        for process in self.engines:
            process.kill()
        with self.database.read() as connection:
            wrong = contradictions(connection)
        self.database.close()
        return wrong


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path, database_with_tables: Callable[[str], str]) -> Iterator[Site]:
    """On both databases. After the test the records must be sound."""
    site = Site(tmp_path, database_with_tables(request.param))
    try:
        yield site
    finally:
        wrong = site.close()
    assert wrong == [], "the records contradict themselves"


@pytest.fixture(scope="session")
def seaweedfs(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("seaweedfs")
