"""Who sends an upload, for tests of the engine: writes the file and tells of it, as the client's leg would."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.schema import file, transfer, upload
from scigate.gateway_api.resources import FileRequest, Overwrite, TransferRequest
from scigate.gateway_api.transfers import intake, receiving
from scigate.gateway_api.transfers.submission import Pair, Submission
from scigate.gateway_api.transfers.times import Times
from scigate.gateway_api.uploads.arrivals import Arrivals
from scigate.gateway_api.uploads.source import StagedSource
from scigate.gateway_api.uploads.staged import StagedUpload
from scigate.storage_backends.digests import digest
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.location import Location, parse
from sqlalchemy import Connection, insert, select, update

STAGING = "staging@0badcafe"


@dataclass
class Sender:
    """One gateway's uploads: their rows, their files, and what is told of them."""

    database: Database
    folder: Path
    gateway: str = STAGING
    arrivals: Arrivals = field(default_factory=Arrivals)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.source = StagedSource(self.gateway, self.folder, self.lookup, self.arrivals)

    def lookup(self, id: str) -> StagedUpload:
        with self.database.read() as connection:
            row = connection.execute(select(upload).where(upload.c.id == id)).one_or_none()
        if row is None or row.ended is not None:
            raise NotFound("the bytes of the upload are not here any more", path=id)
        complete = row.completed is not None
        crc = row.crc64nvme if complete else None
        return StagedUpload(row.id, row.length, row.received, complete, (), row.modified, crc, row.released)

    def announce(
        self, id: str, destination: str, length: int | None, *, expires: timedelta = timedelta(days=1),
        overwrite: Overwrite = Overwrite.FAIL, owner: str = "ada", not_before: datetime | None = None,
    ) -> str:  # fmt: skip
        """A new upload; returns the id of its transfer."""

        def job(connection: Connection) -> str:
            now = self.database.now(connection)
            until = now + expires.total_seconds()
            files = [FileRequest(source="upload:run.dat", destination=destination)]
            pair = Pair(Location(self.gateway, id), parse(destination), length, until)
            deadline = datetime.now(UTC) + timedelta(days=7)
            times = Times(not_before, deadline, firm=False)
            submission = Submission(TransferRequest(files=files, overwrite=overwrite), [pair], times)
            seq = intake.store(connection, intake.new_id(), owner, submission, now)
            its = connection.execute(select(file.c.seq).where(file.c.transfer == seq)).scalar_one()
            row = {"id": id, "owner": owner, "gateway": self.gateway, "kind": "whole", "file": its, "name": "run.dat",
                   "length": length, "created": now, "expires": until}  # fmt: skip
            connection.execute(insert(upload), row)
            return str(connection.execute(select(transfer.c.id).where(transfer.c.seq == seq)).scalar_one())

        (self.folder / id).touch()
        return self.database.write(job)

    def send(self, id: str, data: bytes) -> None:
        """More bytes arrive."""
        with (self.folder / id).open("ab") as out:
            out.write(data)
        self.arrivals.grown(id, (self.folder / id).stat().st_size)

    def record(self, id: str) -> None:
        """What is here is durable, and stands in the records."""
        values = {"received": (self.folder / id).stat().st_size}
        self.write(update(upload).where(upload.c.id == id).values(values))

    def complete(self, id: str, crc64nvme: str | None = None) -> None:
        """The last byte is here, and all of them are what was promised."""
        data = (self.folder / id).read_bytes()
        values = {"received": len(data), "length": len(data), "expires": None,
                  "crc64nvme": crc64nvme or digest("crc64nvme", [data])}  # fmt: skip

        def job(connection: Connection) -> None:
            now = self.database.now(connection)
            connection.execute(update(upload).where(upload.c.id == id).values(completed=now, **values))
            receiving.received(connection, self.file_of(id, connection), now)

        self.database.write(job)
        self.arrivals.grown(id, len(data), complete=True)

    def expire(self, id: str) -> None:
        """Nobody came back."""
        self.write_of(id, receiving.expired)
        self._end(id)

    def terminate(self, id: str) -> Any:
        """The sender does not want it any more; the state of its file after that."""
        found = self.write_of(id, receiving.cancel)
        self._end(id)
        return found

    def write(self, statement: Any) -> None:
        self.database.write(lambda connection: connection.execute(statement))

    def write_of(self, id: str, act: Callable[[Connection, int, float], Any]) -> Any:
        """``act`` on the file of an upload, in a transaction."""
        return self.database.write(
            lambda connection: act(connection, self.file_of(id, connection), self.database.now(connection))
        )

    def file_of(self, id: str, connection: Connection) -> int:
        return int(connection.execute(select(upload.c.file).where(upload.c.id == id)).scalar_one())

    def _end(self, id: str) -> None:
        self.write(update(upload).where(upload.c.id == id).values(ended=time.time()))
        self.arrivals.ended(id)
        (self.folder / id).unlink()
