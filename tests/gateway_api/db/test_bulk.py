"""One statement for many rows says and does the same as one for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scigate.gateway_api.db.bulk import AT_ONCE, BulkInsert
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

TABLE = Table("t", MetaData(), Column("a", Integer, primary_key=True), Column("b", LargeBinary))
INSERT = BulkInsert(insert(TABLE).values(a=bindparam("a"), b=bindparam("b")))


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    url = "sqlite://" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_database"))
    engine = create_engine(url)
    with engine.connect() as made:
        TABLE.create(made)
        yield made
    engine.dispose()


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 3])
def test_every_row_is_there_once_and_counted(connection: Connection, count: int) -> None:
    rows = [{"b": bytes([number % 256]), "a": number} for number in range(count)]
    assert INSERT.run(connection, iter(rows)) == count
    found = connection.execute(select(TABLE).order_by(TABLE.c.a)).all()
    assert [(row.a, row.b) for row in found] == [(row["a"], row["b"]) for row in rows]


def test_a_row_that_does_not_fit_is_an_error_as_ever(connection: Connection) -> None:
    rows = [{"a": number % (AT_ONCE - 1), "b": b""} for number in range(AT_ONCE)]
    with pytest.raises(IntegrityError):
        INSERT.run(connection, rows)


def test_what_returning_tells_is_of_the_rows_that_were_written() -> None:
    statement = sqlite.insert(TABLE).values(a=bindparam("a"), b=bindparam("b")).on_conflict_do_nothing()
    added = BulkInsert(statement.returning(TABLE.c.a, TABLE.c.b))
    engine = create_engine("sqlite://")
    with engine.connect() as made:
        TABLE.create(made)
        INSERT.run(made, [{"a": number, "b": b"before"} for number in range(0, 2 * AT_ONCE, 3)])
        found = added.told(made, [{"a": number, "b": bytes([number])} for number in range(2 * AT_ONCE + 5)])
        assert added.told(made, []) == []
        there = {row.a: row.b for row in made.execute(select(TABLE))}
    engine.dispose()
    written = [number for number in range(2 * AT_ONCE + 5) if number % 3 or number >= 2 * AT_ONCE]
    assert sorted((row.a, row.b) for row in found) == [(number, bytes([number])) for number in written]
    assert len(there) == 2 * AT_ONCE + 5
    assert there[0] == b"before"
