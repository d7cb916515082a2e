"""The lease of a worker: as long as it is renewed, the files it has claimed are its own.

Renewed by a thread of its own, because everything else may be busy. A worker whose lease is not renewed in time stops
by itself at two thirds of it, by the monotonic clock, well before another may take its files over by the database's.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from ..db import points
from ..db.database import Database, DatabaseUnavailable
from ..db.schema import worker

log = logging.getLogger(__name__)
SELF_FENCE: Final = 2 / 3  # of the lease


class LeaseLost(Exception):
    """The lease was not renewed in time: whoever holds it stops and changes nothing."""


class Lease:
    """One worker's lease, with a locked file beside it by which others on this machine see at once that it died."""

    def __init__(self, database: Database, folder: Path, length: float) -> None:
        self.worker = secrets.token_hex(8)
        self._database = database
        self._length = length
        self._renewed = 0.0
        self._stop = threading.Event()
        self._lock_file = _locked(folder, self.worker)
        self._folder = folder
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def start(self) -> None:
        """Take the lease and keep it."""
        begun = time.monotonic()
        self._database.write(self._insert)
        self._renewed = begun
        self._thread.start()

    def check(self) -> None:
        """Called before every side effect. Raises ``LeaseLost``."""
        if not self.is_held():
            raise LeaseLost("this gateway's lease was not renewed in time")

    def is_held(self) -> bool:
        """Whether this worker may still act."""
        return time.monotonic() - self._renewed < self._length * SELF_FENCE

    def end(self) -> None:
        """Give the lease up; nothing may be claimed under it any more."""
        self._stop_renewing()
        try:
            self._database.write(self._delete)
        except DatabaseUnavailable as error:
            log.warning("lease: it is not given up but runs out: %s", error)
        finally:
            self.run_out()

    def run_out(self) -> None:
        """Renew it no more, and tell the database nothing: what is held under it is taken back when it has run out."""
        self._stop_renewing()
        os.close(self._lock_file)
        (self._folder / self.worker).unlink(missing_ok=True)

    def _stop_renewing(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._stop.wait(self._length / 6):
            begun = time.monotonic()
            try:
                if self._database.write_apart(self._renew):
                    self._renewed = begun
                else:
                    log.error("lease: another gateway has taken over the work of this one")
                    self._database.write(self._insert)  # what was claimed before is fenced by its epoch
            except (DatabaseUnavailable, MemoryError) as error:
                log.warning("lease: not renewed: %s", error)

    def _renew(self, connection: Connection) -> bool:
        until = self._database.now(connection) + self._length
        mine = update(worker).where(worker.c.id == self.worker).values(lease_until=until)
        points.written(connection, "worker.renewed")
        return connection.execute(mine).rowcount == 1

    def _delete(self, connection: Connection) -> None:
        connection.execute(delete(worker).where(worker.c.id == self.worker))
        points.written(connection, "worker.ended")

    def _insert(self, connection: Connection) -> None:
        now = self._database.now(connection)
        if connection.execute(select(worker.c.id).where(worker.c.id == self.worker)).first() is None:
            row = {"id": self.worker, "host": host(), "lease_until": now + self._length, "started": now}
            connection.execute(insert(worker), row)
            points.written(connection, "worker.started")


def host() -> str:
    """This boot of this machine: a worker of another boot is surely dead."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "?"
    return f"{socket.gethostname()}/{boot}"


def is_surely_dead(folder: Path, worker_id: str, its_host: str) -> bool:
    """Whether that worker's process has ended: seen by its lock on the same machine, else never certain."""
    ours, theirs = host().split("/"), its_host.split("/")
    if ours[0] != theirs[0]:
        return False
    if ours[1] != theirs[1]:
        return True  # the machine was started anew since
    return _is_free(folder / worker_id)


def remove_stray_locks(folder: Path, known: Collection[str]) -> None:
    """Remove the locks of workers that died before they were recorded, or after they were forgotten."""
    for path in folder.iterdir():
        if path.name not in known and _is_free(path):
            path.unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    """Whether nobody holds this lock; False if it is not there: that worker keeps its state elsewhere."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _locked(folder: Path, worker_id: str) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / worker_id, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
