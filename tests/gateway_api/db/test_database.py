"""One writer with group commit: what is acknowledged is stored, and one job's failure is its own."""

from __future__ import annotations

import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from scigate.gateway_api.db import database as module
from scigate.gateway_api.db.database import Database, DatabaseUnavailable
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import lane
from sqlalchemy import Connection, event, func, insert, make_url, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tests.letting_go import lets_go

on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


def add(owner: str) -> module.Job[None]:
    def job(connection: Connection) -> None:
        connection.execute(insert(lane), {"owner": owner, "source": "a", "destination": "b"})

    return job


def owners(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(lane.c.owner)).scalars())


def test_what_was_written_is_read(database: Database) -> None:
    assert database.write(add("ada")) is None
    assert owners(database) == {"ada"}


def test_a_job_gives_its_result(database: Database) -> None:
    assert database.write(lambda connection: connection.execute(select(func.count(lane.c.id))).scalar()) == 0


def fails(connection: Connection) -> None:
    raise LookupError(connection.dialect.name)


def test_whoever_met_an_error_is_let_go(database: Database) -> None:
    """With the draft, for example, that it held open."""
    assert lets_go(lambda: database.write(fails), LookupError)


@on_sqlite
@pytest.mark.parametrize("where", ["job", "commit", "read"])
def test_memory_that_runs_out_is_told_and_ends_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """SQLite's own "out of memory" is a ``MemoryError`` too."""

    def exhausted(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        if where == "commit":
            patch.setattr(database, "_attempt", exhausted)
        with pytest.raises(DatabaseUnavailable, match="no memory"):
            if where == "read":
                with database.read():
                    exhausted()
            else:
                database.write(exhausted if where == "job" else add("bo"))
    database.write(add("ada"))
    assert owners(database) == {"ada"}


def test_many_threads_share_commits(database: Database) -> None:
    commits: list[object] = []
    begun, gathered = threading.Event(), threading.Event()

    def first(_: Connection) -> None:
        begun.set()
        gathered.wait(120)

    event.listen(database._writer, "commit", commits.append)
    with ThreadPoolExecutor(301) as pool:
        jobs = [pool.submit(database.write, first)]
        assert begun.wait(120)
        jobs += [pool.submit(database.write, add(f"user{number}")) for number in range(300)]
        while database._jobs.qsize() < 300:
            time.sleep(0.01)
        gathered.set()
        for job in jobs:
            job.result(120)
    assert len(owners(database)) == 300
    assert len(commits) < 30


def test_the_failure_of_one_job_does_not_undo_another(database: Database) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:  # while it runs the others gather for the next commit
        started.set()
        go_on.wait(60)

    def broken(connection: Connection) -> None:
        add("broken")(connection)
        raise KeyError("of this job alone")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(database.write, slow)
        started.wait()
        jobs = [add("ada"), broken, add("ada"), add("bo"), lambda c: c.execute(text("SELECT nonsense")), add("cy")]
        futures = []
        for number, job in enumerate(jobs, 1):
            futures.append(pool.submit(database.write, job))
            while database._jobs.qsize() < number:  # one behind the other
                time.sleep(0.001)
        go_on.set()
        errors = [future.exception(60) for future in futures]
    assert first.exception() is None
    assert [type(error) for error in errors] == [
        type(None), KeyError, IntegrityError, type(None), DatabaseUnavailable, type(None),
    ]  # fmt: skip
    assert owners(database) == {"ada", "bo", "cy"}


def test_an_error_of_a_statement_does_not_tell_its_values(database: Database) -> None:
    """They can be a signed URL, and errors go to the log."""
    database.write(add("ada"))
    with pytest.raises(IntegrityError) as raised:
        database.write(add("ada"))
    assert "lane" in str(raised.value)
    assert "'ada'" not in str(raised.value)


def test_a_failure_before_the_first_statement_is_waited_for_not_the_end_of_the_writer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    connect = database._writer.connect

    def unwilling() -> Connection:
        calls.append(1)
        if len(calls) == 1:
            raise SQLAlchemyError("no connection is free")
        return connect()

    monkeypatch.setattr(database._writer, "connect", unwilling)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(database.write, add("ada")).result(60)
    assert owners(database) == {"ada"}


def test_close_finishes_what_was_given(url: str) -> None:
    from scigate.gateway_api.db.migrate import migrate

    migrate(url)
    database = Database(url)
    with ThreadPoolExecutor(50) as pool:
        futures = [pool.submit(database.write, add(f"user{number}")) for number in range(50)]
        time.sleep(0.01)
        database.close()
        outcomes = [future.exception(60) for future in futures]
    again = Database(url)
    stored = owners(again)
    again.close()
    assert {type(error) for error in outcomes} <= {type(None), DatabaseUnavailable}
    assert stored == {f"user{number}" for number, error in enumerate(outcomes) if error is None}
    with pytest.raises(DatabaseUnavailable, match="closed"):
        database.write(add("late"))


def test_a_job_that_comes_while_the_database_is_closed_is_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its thread would wait for ever, and the end of the process for its thread."""
    closing: list[Database] = []

    class Late(queue.SimpleQueue):  # type: ignore[type-arg]
        def put(self, job: object, *_: object) -> None:
            if job is not None:
                closing.pop().close()
            super().put(job)

    with monkeypatch.context() as patched:
        patched.setattr(module, "queue", SimpleNamespace(SimpleQueue=Late, Empty=queue.Empty))
        late = Database(database.url.render_as_string(hide_password=False))
    closing.append(late)
    with pytest.raises(DatabaseUnavailable, match="the database is closed"):
        late.begin_write(add("ada")).result(10)


def test_a_reader_sees_one_moment(database: Database) -> None:
    database.write(add("ada"))
    with database.read() as connection:
        before = connection.execute(select(func.count(lane.c.id))).scalar()
        database.write(add("bo"))
        after = connection.execute(select(func.count(lane.c.id))).scalar()
    assert before == 1
    assert after == 1 or not database.is_sqlite, "PostgreSQL reads what is committed at each statement"


def test_the_clock_is_the_databases(database: Database) -> None:
    with database.read() as connection:
        assert abs(database.now(connection) - time.time()) < 60


@on_sqlite
def test_a_database_is_opened_first_while_somebody_else_writes(url: str) -> None:
    """Gateways that begin on it together: what makes it keep a log is refused at once by SQLite, not waited for."""
    migrate(url)
    other = sqlite3.connect(make_url(url).database or "", isolation_level=None, check_same_thread=False)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",), "nobody has opened it yet"
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ["COMMIT"]).start()
    database = Database(url)
    try:
        database.check()
        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    finally:
        database.close()
        other.close()


@pytest.fixture
def locked(database: Database) -> Iterator[Callable[[], None]]:
    """Another process holds the SQLite database's lock, until this is called."""
    database.write(add("first"))
    command = [sys.executable, "-c", HOLD, str(database.url.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        yield process.stdin.close
        process.stdin.close()
        process.wait(60)


@on_sqlite
def test_a_locked_database_is_waited_for(database: Database, locked: Callable[[], None]) -> None:
    begun = time.monotonic()
    threading.Timer(1.0, locked).start()
    database.write(add("ada"))
    assert time.monotonic() - begun >= 1
    assert owners(database) == {"first", "ada"}


@on_sqlite
def test_a_database_locked_for_too_long_is_said_to_be_unavailable(
    database: Database, locked: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    impatient = Database(database.url.render_as_string(hide_password=False))
    try:
        with pytest.raises(DatabaseUnavailable, match="locked"):
            impatient.write(add("ada"))
    finally:
        impatient.close()
    assert owners(database) == {"first"}


@on_sqlite
def test_a_full_disk_is_said_at_once_to_all_who_share_a_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 240.0)
    database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))  # as many as it has
    begun, held = threading.Event(), threading.Event()

    def first_of_all(_: Connection) -> None:
        begun.set()
        held.wait(120)

    def large(connection: Connection) -> None:
        connection.execute(insert(lane), {"owner": "x" * 1_000_000, "source": "a", "destination": "b"})

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(database.write, first_of_all)
        assert begun.wait(60), "it shares its commit with nobody"
        waiting = [pool.submit(database.write, large) for _ in range(3)]
        while database._jobs.qsize() < 3:
            time.sleep(0.01)
        began = time.monotonic()
        held.set()
        first.result()
        for one in waiting:
            with pytest.raises(DatabaseUnavailable, match="full"):
                one.result()
    assert time.monotonic() - began < module.PATIENCE / 2


@on_sqlite
def test_acknowledged_writes_are_on_the_disk(database: Database) -> None:
    with database._writer.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2], "2 is FULL"


@on_sqlite
def test_another_process_sees_an_acknowledged_write_at_once(database: Database) -> None:
    database.write(add("ada"))
    other = sqlite3.connect(str(database.url.database))
    assert other.execute("SELECT owner FROM lane").fetchall() == [("ada",)]
    other.close()
