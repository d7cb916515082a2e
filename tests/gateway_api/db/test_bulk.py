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
