"""Manifests in the database: stored piece by piece while they come, and listed into files afterwards.

A manifest is a folder that its sender has listed already. Its pieces are committed one after the other, so that no
commit is long; only the last one makes it a transfer, in one transaction with its Idempotency-Key.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Final

from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.location import Location
from sqlalchemy import Connection, delete, func, insert, select

from ..db import points
from ..db.database import Database
from ..db.schema import manifest, transfer, walk
from ..problems import Problem
from ..resources import TransferRequest
from .manifest import Lines, packed, pairs_in
from .submission import Pair, said

MANIFEST: Final = "_manifest"
"""What stands as source storage of a folder that is a manifest; no storage can have this name."""
OPEN_MAX: Final = 16  # of one user: such that are still sent, or whose lines are not all files yet
AWHILE: Final = timedelta(seconds=10)
FORGOTTEN: Final = 24 * 3600.0  # seconds after which a manifest that nobody lists is removed


class Manifests:
    """The stored pieces."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._coming, self._lock = Counter[str](), threading.Lock()

    def begin(self, owner: str, lines: Lines) -> Incoming:
        """Of this user another one comes. Raises ``Problem`` 429 when they have too many that are not listed yet."""
        unlisted = self._unlisted(owner)
        with self._lock:
            if self._coming[owner] + unlisted >= OPEN_MAX:
                raise _too_many()
            self._coming[owner] += 1
        return Incoming(self, lines, partial(self._has_come, owner))

    def _unlisted(self, owner: str) -> int:
        """Transfers of manifests whose lines have not all become files."""
        its = (transfer.c.owner == owner, walk.c.done.is_(False), walk.c.source_storage == MANIFEST)
        query = select(func.count()).select_from(walk.join(transfer, transfer.c.seq == walk.c.transfer)).where(*its)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _has_come(self, owner: str) -> None:
        with self._lock:
            self._coming[owner] -= 1
            self._coming += Counter()  # forgets those who have none

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


def _too_many() -> Problem:
    title = f"You have {OPEN_MAX} lists of files that are still being sent, or whose files are not all queued yet."
    advice = "Wait until the files of one are queued, or cancel its transfer."
    return Problem(429, "too-many-manifests", title, next_step=advice, retriable=True, retry_after=AWHILE)


class Incoming:
    """A manifest on its way: bytes in, checked and kept piece by piece. For one thread at a time; ``discard`` may come
    from another one meanwhile."""

    def __init__(self, manifests: Manifests, lines: Lines, over: Callable[[], None]) -> None:
        self._manifests, self._lines, self._id = manifests, lines, secrets.token_hex(16)
        self._number, self._digest, self._over = 0, sha256(), over
        self._lock, self._discarded = threading.Lock(), False

    def take(self, data: bytes) -> None:
        """The next bytes. Raises ``Problem`` 422."""
        self._digest.update(data)
        self._keep(self._lines.take(data))

    def end(self) -> Pair:
        """All has come: the folder that stands for it. Raises ``Problem`` 422."""
        self._keep(self._lines.end())
        self._leave()
        return Pair(Location(MANIFEST, f"{self._id}/"), Location("", ""))

    def fingerprint(self, request: TransferRequest) -> str:
        """The same for the same manifest with the same wishes, and only for it."""
        self._digest.update(json.dumps(said(request), sort_keys=True, default=str).encode())
        return self._digest.hexdigest()

    def discard(self) -> None:
        """It is not wanted: it broke off, is wrong, or had come before."""
        self._leave()
        with self._lock:
            self._discarded = True
            self._manifests.discard(self._id)

    def _leave(self) -> None:
        """It does not come any more, whether it is wanted or not."""
        with self._lock:
            over, self._over = self._over, lambda: None
        over()

    def _keep(self, lines: bytes) -> None:
        with self._lock:
            if lines and not self._discarded:
                self._manifests.add(self._id, self._number, lines)
                self._number += 1


def forget(connection: Connection, id: str) -> None:
    """Remove its pieces: all its files are listed, or it is not wanted."""
    connection.execute(delete(manifest).where(manifest.c.id == id))
