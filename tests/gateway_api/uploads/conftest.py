"""The client's leg of uploads on real disks and real databases, without HTTP and without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from awscrt import checksums
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import event, file, upload
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.storages import Storages
from scigate.gateway_api.transfers.store import TransferStore
from scigate.gateway_api.uploads.model import Append, NewUpload, UploadStatus
from scigate.gateway_api.uploads.sessions import Uploads
from scigate.gateway_api.uploads.writer import Writer
from scigate.gateway_api.wiring_uploads import UploadParts
from scigate.storage_backends.registry import BackendRegistry
from sqlalchemy import select, update

ADA, BO = Actor("ada", "Ada"), Actor("bo", "Bo")
ROOT = Actor("root", "Root", roles=frozenset({Role.ADMIN}))
CONFIG = """
[gateway]
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.frozen]
type = "posix"
root = "{folder}/lab"
read_only = true
[storages.bos]
type = "memory"
users = ["bo"]
[limits]
{limits}
"""


@dataclass
class Desk:
    """Where uploads arrive. ``restart`` is what a new process does."""

    folder: Path
    url: str
    limits: str = ""
    databases: list[Database] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "lab").mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        migrate(self.url)
        self.restart()

    def restart(self, **limits: Any) -> Uploads:
        lines = "".join(f"{name} = {value!r}\n" for name, value in limits.items())
        settings = Settings.parse(CONFIG.format(folder=self.folder, limits=self.limits + lines))
        self.database = Database(self.url)
        self.databases.append(self.database)
        self.parts = UploadParts(settings, self.folder / "state", self.database)
        storages = Storages(settings.storages, BackendRegistry(), {self.parts.name: self.parts.source})
        self.transfers = TransferStore(self.database, lambda storage, path: None)
        self.uploads = self.parts.cases(storages, self.transfers, lambda: None, 1000)
        self.parts.prepare()
        return self.uploads

    def new(self, length: int | None = None, to: str = "lab:/file", **options: Any) -> str:
        return self.uploads.create(ADA, NewUpload(length=length, destination=to, **options)).id

    def open(self, id: str, offset: int, actor: Actor = ADA, **options: Any) -> Writer:
        return self.uploads.open(actor, id, Append(offset, **options))

    def send(self, id: str, data: bytes, offset: int = 0, **options: Any) -> UploadStatus:
        writer = self.open(id, offset, **options)
        writer.write([data])
        return writer.finish()

    def offset(self, id: str) -> int:
        return self.uploads.status(ADA, id).offset

    def path(self, id: str) -> Path:
        return self.parts.staging.path(id)

    def row(self, id: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(upload).where(upload.c.id == id)).one()

    def file(self, id: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(
                select(file).join(upload, upload.c.file == file.c.seq).where(upload.c.id == id)
            ).one()

    def events(self) -> list[str]:
        with self.database.read() as connection:
            return list(connection.execute(select(event.c.type).order_by(event.c.id)).scalars())

    def count(self, table: Any) -> int:
        with self.database.read() as connection:
            return len(connection.execute(select(table)).all())

    def change(self, id: str, **values: Any) -> None:
        self.database.write(lambda c: c.execute(update(upload).where(upload.c.id == id).values(values)))

    def change_file(self, id: str, **values: Any) -> None:
        seq = self.row(id).file
        self.database.write(lambda c: c.execute(update(file).where(file.c.seq == seq).values(values)))

    def check(self, id: str) -> None:
        """What is recorded is on the disk, with the recorded CRC."""
        row = self.row(id)
        data = self.path(id).read_bytes() if self.path(id).exists() else b""
        assert len(data) >= row.received
        assert f"{checksums.crc64nvme(data[: row.received]):016x}" == row.crc64nvme


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, database_with_tables: Callable[[str], str]) -> str:
    return database_with_tables(request.param)


@pytest.fixture
def nothing_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, nothing is recorded because of that, and no look at a storage is given up."""
    monkeypatch.setattr("scigate.gateway_api.uploads.writer.CHECKPOINT_AFTER", timedelta(hours=1))
    monkeypatch.setattr("scigate.gateway_api.uploads.sessions.LOOK_TIMEOUT", timedelta(seconds=120))


@pytest.fixture
def make_desk(tmp_path: Path, database_url: str, nothing_by_the_clock: None) -> Iterator[Callable[..., Desk]]:
    """``make_desk(limits)``: a place where uploads arrive, with these lines in ``[limits]``."""
    made: list[Desk] = []

    def make(limits: str = "", folder: str = "gateway") -> Desk:
        made.append(Desk(tmp_path / folder, database_url, limits))
        return made[-1]

    yield make
    for desk in made:
        desk.uploads.close()
        for database in desk.databases:
            database.close()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()
