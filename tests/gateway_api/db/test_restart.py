"""A PostgreSQL that dies and comes back, while a gateway writes."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import lane
from sqlalchemy import Connection, insert, select

from .cluster import Cluster


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


def test_no_acknowledged_write_is_lost_when_postgresql_dies(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.gateway_api.db.database.PATIENCE", 240.0)  # its start takes a slow machine long
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
        thread.join(240)
    with database.read() as connection:
        stored = connection.execute(select(lane.c.owner)).scalars().all()
    database.close()
    assert len(stored) == len(set(stored))
    assert set(acknowledged) == set(stored), "all were answered, and all answers are true"


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < end, "the writers did not go on"
        time.sleep(0.02)
