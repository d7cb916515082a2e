"""Manifests in the database: stored piece by piece while they come, and listed into files afterwards.

A manifest is a folder that its sender has listed already. Its pieces are committed one after the other, so that no
commit is long; only the last one makes it a transfer, in one transaction with its Idempotency-Key.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.location import Location
from sqlalchemy import Connection, delete, insert, select

from ..db import points
from ..db.database import Database
from ..db.schema import manifest, walk
from ..resources import TransferRequest
from .manifest import Lines, packed, pairs_in
from .submission import Pair, said

MANIFEST: Final = "_manifest"
"""What stands as source storage of a folder that is a manifest; no storage can have this name."""
FORGOTTEN: Final = 24 * 3600.0  # seconds after which a manifest that nobody lists is removed


class Manifests:
    """The stored pieces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, id: str, number: int, lines: bytes) -> None:
        """Keep a piece, durably; again is no error."""
        stored = packed(lines)

        def job(connection: Connection) -> None:
            its = (manifest.c.id == id, manifest.c.number == number)
            if connection.execute(select(manifest.c.number).where(*its)).first() is None:
                row = {"id": id, "number": number, "lines": stored, "created": self._database.now(connection)}
                connection.execute(insert(manifest), row)
                points.written(connection, "manifest.piece")

        self._database.write(job)

    def pairs(self, id: str) -> Iterator[Pair]:
        """What is in it, from its beginning, with one piece at a time in memory. Raises ``NotFound`` if its beginning
        is not kept any more, or a piece before the last: ``sweep`` found it old before all of it had come."""
        number = -1
        while True:
            its = (manifest.c.id == id, manifest.c.number > number)
            query = select(manifest.c.number, manifest.c.lines).where(*its).order_by(manifest.c.number).limit(1)
            with self._database.read() as connection:
                row = connection.execute(query).first()
            if (row is None and number < 0) or (row is not None and row.number != number + 1):
                raise NotFound("the lines of this manifest are not kept any more", next_step="Submit it again.")
            if row is None:
                return
            number = row.number
            yield from pairs_in(row.lines)

    def discard(self, id: str) -> None:
        """Forget one that became no transfer."""
        self._database.write(lambda connection: forget(connection, id))

    def sweep(self) -> None:
        """Remove those whose sender did not come to the end, and those of transfers that were cancelled."""
        wanted = select(walk.c.source_path).where(walk.c.done.is_(False), walk.c.source_storage == MANIFEST)
        with self._database.read() as connection:
            old = manifest.c.created < self._database.now(connection) - FORGOTTEN
            found = set(connection.execute(select(manifest.c.id).where(old).distinct()).scalars())
            open_still = set(connection.execute(wanted).scalars()) if found else set()
        for id in found - {path.rstrip("/") for path in open_still}:
            self.discard(id)


class Incoming:
    """A manifest on its way: bytes in, checked and kept piece by piece. For one thread at a time; ``discard`` may come
    from another one meanwhile."""

    def __init__(self, manifests: Manifests, lines: Lines) -> None:
        self._manifests, self._lines, self._id = manifests, lines, secrets.token_hex(16)
        self._number, self._digest = 0, sha256()
        self._lock, self._discarded = threading.Lock(), False

    def take(self, data: bytes) -> None:
        """The next bytes. Raises ``Problem`` 422."""
        self._digest.update(data)
        self._keep(self._lines.take(data))

    def end(self) -> Pair:
        """All has come: the folder that stands for it. Raises ``Problem`` 422."""
        self._keep(self._lines.end())
        return Pair(Location(MANIFEST, f"{self._id}/"), Location("", ""))

    def fingerprint(self, request: TransferRequest) -> str:
        """The same for the same manifest with the same wishes, and only for it."""
        self._digest.update(json.dumps(said(request), sort_keys=True, default=str).encode())
        return self._digest.hexdigest()

    def discard(self) -> None:
        """It is not wanted: it broke off, is wrong, or had come before."""
        with self._lock:
            self._discarded = True
            self._manifests.discard(self._id)

    def _keep(self, lines: bytes) -> None:
        with self._lock:
            if lines and not self._discarded:
                self._manifests.add(self._id, self._number, lines)
                self._number += 1


def forget(connection: Connection, id: str) -> None:
    """Remove its pieces: all its files are listed, or it is not wanted."""
    connection.execute(delete(manifest).where(manifest.c.id == id))
