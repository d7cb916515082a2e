"""Crash points of rows: written before the commit, committed behind it, and never what was undone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scigate.gateway_api.db import points
from scigate.gateway_api.db.database import Database
from scigate.storage_backends import crash_points
from sqlalchemy import Connection, create_engine, text


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/scigate.db")
    made.write(lambda connection: connection.execute(text("CREATE TABLE thing (name TEXT)")))
    yield made
    made.close()


@pytest.fixture
def reached(database: Database) -> Iterator[list[str]]:
    """The points that are reached, in their order."""
    names: list[str] = []
    crash_points.arm(_of(database, names.append))
    yield names
    crash_points.arm(None)


def _of(database: Database, note: Callable[[str], None]) -> Callable[[str], None]:
    """Only what this database's writer reaches: gateways of other tests may run on in this process."""
    writer = database.write(lambda _: threading.current_thread())
    return lambda name: note(name) if threading.current_thread() is writer else None


def _insert(connection: Connection, name: str) -> None:
    connection.execute(text("INSERT INTO thing VALUES (:name)"), {"name": name})
    points.written(connection, name)


def _fail(database: Database, job: Callable[[Connection], None]) -> None:
    with pytest.raises(ValueError, match="no"):
        database.write(job)


def _stored(path: Path) -> list[str]:
    """What another connection sees."""
    with create_engine(f"sqlite:///{path}/scigate.db").connect() as connection:
        return list(connection.execute(text("SELECT name FROM thing ORDER BY name")).scalars())


def test_a_change_is_written_before_its_commit_and_committed_after_it(database: Database, tmp_path: Path) -> None:
    seen: list[tuple[str, list[str]]] = []
    crash_points.arm(_of(database, lambda name: seen.append((name, _stored(tmp_path)))))
    try:
        database.write(lambda connection: _insert(connection, "a"))
    finally:
        crash_points.arm(None)
    assert seen == [("a:written", []), ("a:committed", ["a"])]


def test_a_job_that_fails_is_written_but_never_committed(database: Database, reached: list[str]) -> None:
    def job(connection: Connection) -> None:
        _insert(connection, "a")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.write(job)
    database.write(lambda connection: _insert(connection, "b"))
    assert reached == ["a:written", "b:written", "b:committed"]


def test_of_a_group_only_those_that_fail_are_not_committed(database: Database, reached: list[str]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def first(connection: Connection) -> None:
        begun.set()
        go_on.wait(120)

    def bad(connection: Connection) -> None:
        _insert(connection, "bad")
        raise ValueError("no")

    threads = [threading.Thread(target=database.write, args=[first])]
    threads[0].start()
    assert begun.wait(120)
    for job in (lambda connection: _insert(connection, "a"), lambda connection: _insert(connection, "c")):
        threads.append(threading.Thread(target=database.write, args=[job]))
        threads[-1].start()
    threads.append(threading.Thread(target=_fail, args=[database, bad]))
    threads[-1].start()
    while database._jobs.qsize() < 3:
        time.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join(120)
    assert sorted(name for name in reached if name.endswith(":committed")) == ["a:committed", "c:committed"]
    assert "bad:written" in reached


def test_without_a_plan_nothing_is_remembered(database: Database) -> None:
    def job(connection: Connection) -> int:
        _insert(connection, "a")
        return len(connection.info)

    before = database.write(lambda connection: len(connection.info))
    assert (database.write(job), crash_points.is_armed()) == (before, False)
