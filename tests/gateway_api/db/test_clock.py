"""Steps of the wall clock are noticed, and what waits moves with them: all of it, by as much, once."""

from __future__ import annotations

import time

import pytest
from scigate.gateway_api.db import database as module
from scigate.gateway_api.db.clock import NOTICED, Clock
from scigate.gateway_api.db.database import Database, DatabaseUnavailable
from scigate.gateway_api.db.schema import ticket
from sqlalchemy import Connection, insert, select

DAY = 86_400.0
NEAR = 600.0  # seconds: a machine that stands still in between tells nothing of a step of a day
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


class Set:
    """A clock on the wall that somebody sets."""

    def __init__(self, database: Database) -> None:
        self.by = 0.0
        database._clock = Clock(lambda: time.time() + self.by)

    @property
    def now(self) -> float:
        return time.time() + self.by


def promise(database: Database, name: str, seconds: float) -> None:
    """A row that expires so long from now."""

    def job(connection: Connection) -> None:
        row = {"hash": name, "actor": "{}", "expires": database.now(connection) + seconds}
        connection.execute(insert(ticket), row)

    database.write(job)


def expires(database: Database, name: str) -> float:
    with database.read() as connection:
        return connection.execute(select(ticket.c.expires).where(ticket.c.hash == name)).scalar_one()


def nothing(_: Connection) -> None:
    """A commit, as there is one every few seconds."""


def test_a_step_is_told_until_it_is_followed_and_slewing_is_none() -> None:
    wall, steady = [1000.0], [10.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    wall[0] += 100
    steady[0] += 100
    assert (clock.step(), clock.now()) == (0.0, 1100.0)
    wall[0] += NOTICED / 2
    assert (clock.step(), clock.now()) == (0.0, 1100.0 + NOTICED / 2)
    wall[0] -= 3600
    assert (clock.step(), clock.step()) == (-3600.0, -3600.0)
    assert clock.now() == 1100.0 + NOTICED / 2
    clock.follow(-3600.0)
    assert (clock.step(), clock.now()) == (0.0, wall[0])


def test_a_process_that_is_held_up_while_it_looks_sees_no_step() -> None:
    held_up, now = [0.0, 3600.0, 0.0], [0.0]

    def wall() -> float:
        told = 1000.0 + now[0]
        now[0] += held_up.pop(0) if held_up else 0.0
        return told

    clock = Clock(wall, lambda: now[0])
    assert clock.step() == 0.0
    assert not held_up


@on_sqlite
@pytest.mark.parametrize("by", [DAY, -DAY])
def test_what_is_written_between_the_step_and_its_notice_is_as_long_from_now_as_was_meant(
    database: Database, by: float
) -> None:
    clock = Set(database)
    promise(database, "before", 60)
    clock.by = by
    promise(database, "between", 60)  # the commit in which it is noticed
    promise(database, "after", 60)
    for name in ("before", "between", "after"):
        assert abs(expires(database, name) - clock.now - 60) < NEAR, name
    with database.read() as connection:
        assert abs(database.now(connection) - clock.now) < NEAR


@on_sqlite
def test_a_commit_that_fails_takes_no_step(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Set(database)
    promise(database, "before", 60)
    clock.by = DAY

    def broken(_: Connection) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        database.write(broken)
    real = module.shift

    def full(connection: Connection, seconds: float) -> None:
        real(connection, seconds)
        connection.exec_driver_sql("SELECT * FROM nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(module, "shift", full)
        patch.setattr(module, "PATIENCE", 0.0)
        with pytest.raises(DatabaseUnavailable):
            database.write(nothing)
    assert abs(expires(database, "before") - clock.now + DAY - 60) < NEAR, "it was moved by a commit that failed"
    database.write(nothing)
    database.write(nothing)
    assert abs(expires(database, "before") - clock.now - 60) < NEAR


def test_a_database_with_a_clock_of_its_own_follows_nobody(postgresql_database: str) -> None:
    from scigate.gateway_api.db.migrate import migrate

    migrate(postgresql_database)
    database = Database(postgresql_database)
    try:
        clock = Set(database)
        clock.by = DAY
        promise(database, "then", 60)
        promise(database, "there", 60)
        assert abs(expires(database, "then") - time.time() - 60) < NEAR
    finally:
        database.close()
