"""A PostgreSQL that dies and comes back, while a gateway writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import lane
from scigate.storage_backends.testing.servers import free_ports
from sqlalchemy import Connection, insert, select


class Cluster:
    """A PostgreSQL of its own, which can be killed and started again."""

    def __init__(self, postgres: Path, folder: Path) -> None:
        self._postgres, self._folder = postgres, folder
        (self._port,) = free_ports(1)
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run(postgres.with_name("initdb"), "-U", "scigate", "--auth=trust", "-D", folder / "data")
        self.url = f"postgresql+psycopg://scigate@127.0.0.1:{self._port}/postgres"
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = [*self._as, self._postgres, "-D", self._folder / "data", "-p", str(self._port), "-h", "127.0.0.1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-k", self._folder], stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """All its processes at once, as when the machine loses power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _run(self, *command: str | Path) -> None:
        subprocess.run([*self._as, *command], check=True, capture_output=True, cwd=self._folder)

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        pytest.fail((self._folder / "log").read_text(errors="replace"), pytrace=False)


@pytest.fixture
def cluster(require: Callable[[str], Path]) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="scigate-restart-"))
    try:
        cluster = Cluster(require("postgresql"), folder)
        cluster.start()
        yield cluster
        cluster.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_no_acknowledged_write_is_lost_when_postgresql_dies(cluster: Cluster) -> None:
    migrate(cluster.url)
    database = Database(cluster.url)
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(number: int) -> None:
        owner = f"user{number}"

        def job(connection: Connection) -> None:  # may run again after a commit whose answer was lost
            if connection.execute(select(lane.c.id).where(lane.c.owner == owner)).first() is None:
                connection.execute(insert(lane), {"owner": owner, "source": "a", "destination": "b"})

        database.write(job)
        acknowledged.append(owner)

    def keep_writing(first: int) -> None:
        number = first
        while not stop.is_set():
            write(number)
            number += 4

    threads = [threading.Thread(target=keep_writing, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.5)
        cluster.kill()
        time.sleep(0.3)
        before = len(acknowledged)
        cluster.start()
        _until(lambda before=before: len(acknowledged) > before + 20)
    stop.set()
    for thread in threads:
        thread.join(30)
    with database.read() as connection:
        stored = connection.execute(select(lane.c.owner)).scalars().all()
    database.close()
    assert len(stored) == len(set(stored))
    assert set(acknowledged) == set(stored), "all were answered, and all answers are true"


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end, "the writers did not go on"
        time.sleep(0.02)
