"""A PostgreSQL that is restarted, dies, is cut off or has no connection left while a gateway works."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.gateway_api.db.cluster import Cluster

from .proxy import Harm, Proxy, Rule, Way
from .stand import Stand, until

MiB = 1 << 20
Make = Callable[..., Stand]
FILES = 60


@pytest.fixture(scope="module")
def cluster(require: Callable[[str], Path]) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="scigate-faults-"))
    try:
        cluster = Cluster(require("postgresql"), folder, max_connections=45, superuser_reserved_connections=0)
        cluster.start()
        yield cluster
        cluster.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(cluster: Cluster, tmp_path: Path) -> str:
    """The URL of an empty database of the cluster."""
    name = f"of_{tmp_path.name.lower().replace('-', '_')[-40:]}"
    with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return cluster.url.rsplit("/", 1)[0] + f"/{name}"


class Customers(threading.Thread):
    """People who submit one transfer after the other, each with a key, and say the same again until it is answered."""

    def __init__(self, stand: Stand) -> None:
        super().__init__()
        self._stand, self._over = stand, threading.Event()
        self.acknowledged: dict[str, str] = {}

    def run(self) -> None:
        number = 0
        while not self._over.is_set():
            key = f"key-{number}"
            try:
                answer = self._stand.post((f"lab:/f{number % FILES}", f"out:/more/{number}"), key=key)
            except httpx.TransportError:
                continue
            if answer.status_code == 202:
                self.acknowledged[key] = answer.headers["Location"].rsplit("/", 1)[-1]
                number += 1
            else:
                assert answer.status_code == 503, answer.text
                assert answer.headers["Retry-After"]
            time.sleep(0.05)

    def end(self) -> None:
        self._over.set()
        self.join(150)


def at_work(stand: Stand) -> tuple[str, Customers]:
    """A gateway with one large file, many small ones, and customers."""
    for number in range(FILES):
        (stand.root("lab") / f"f{number}").write_bytes(os.urandom(5_000))
    (stand.root("lab") / "large").write_bytes(os.urandom(64 * MiB))
    stand.start()
    small = [(f"lab:/f{number}", f"out:/f{number}") for number in range(FILES)]
    transfer = stand.submit(("lab:/large", "out:/large"), *small)
    customers = Customers(stand)
    customers.start()
    return transfer, customers


def finish(stand: Stand, transfer: str, customers: Customers, began: float, **figures: object) -> None:
    """Nothing failed, nothing that was acknowledged is missing or there twice."""
    enough = len(customers.acknowledged) + 3
    until(lambda: len(customers.acknowledged) >= enough)
    customers.end()
    until(lambda: stand.rows("SELECT count(*) AS n FROM transfer WHERE finished IS NULL")[0]["n"] == 0)
    assert stand.wait(transfer)["state"] == "DONE"
    assert stand.rows("SELECT state, count(*) AS n FROM file WHERE state <> 'DONE' GROUP BY state") == []
    stored = {row["key"]: row["transfer"] for row in stand.rows("SELECT key, transfer FROM idempotency")}
    for key, acknowledged in customers.acknowledged.items():
        assert stored[key] == acknowledged, "what was answered is what is stored"
    transfers = stand.rows("SELECT count(*) AS n FROM transfer")[0]["n"]
    assert transfers == len(stored) + 1, "a submission was stored twice"
    stand.settle("faults.database", began, database="postgresql", acknowledged=len(stored), **figures)


long = pytest.mark.long


@pytest.mark.parametrize("how", [pytest.param("fast", marks=long), pytest.param("immediate", marks=long), "kill"])
def test_a_restart_of_the_server_fails_no_file_and_loses_no_answer(
    stand: Make, cluster: Cluster, database: str, how: str
) -> None:
    began = time.monotonic()
    made = stand(database=database, limits={"lease_seconds": 5, "streams": 1})
    transfer, customers = at_work(made)
    for _ in range(2):
        enough = len(customers.acknowledged) + 3
        until(lambda enough=enough: len(customers.acknowledged) >= enough)
        if how == "kill":
            cluster.kill()
        else:
            cluster.stop(signal.SIGINT if how == "fast" else signal.SIGQUIT)
        time.sleep(0.5)
        assert made.client().get("/healthz").status_code == 200, "alive, if not ready"
        cluster.start()
    finish(made, transfer, customers, began, fault=f"restart {how}")


def test_connections_that_are_cut_at_any_byte_lose_and_repeat_nothing(
    stand: Make, cluster: Cluster, database: str
) -> None:
    """Also between a commit and its answer: what was committed is then found, not stored again."""
    began = time.monotonic()
    with Proxy(f"tcp://127.0.0.1:{cluster.port}") as proxy:
        through = database.replace(f":{cluster.port}/", f":{proxy.port}/")
        made = stand(database=through, limits={"lease_seconds": 5})
        transfer, customers = at_work(made)
        cuts = 16
        for number in range(cuts):
            way = Way.DOWN if number % 2 else Way.UP
            harm = Harm.RST if number % 4 < 2 else Harm.FIN
            before = proxy.happened
            proxy.rules.append(Rule(harm, at=proxy.passed[way] + 97 * number % 3001, way=way))
            until(lambda before=before: proxy.happened > before)
        finish(made, transfer, customers, began, fault="connections cut", runs=cuts)


def test_a_server_without_a_free_connection_delays_and_fails_nothing(
    stand: Make, cluster: Cluster, database: str
) -> None:
    began = time.monotonic()
    made = stand(database=database, limits={"lease_seconds": 5})
    transfer, customers = at_work(made)
    with ExitStack() as hogs:
        refused = 0
        while refused < 20:
            try:
                hogs.enter_context(psycopg.connect(database.replace("+psycopg", ""), connect_timeout=30))
            except psycopg.OperationalError:
                refused += 1
                time.sleep(0.05)
        assert made.client().get("/healthz").status_code == 200
    finish(made, transfer, customers, began, fault="no free connection")
