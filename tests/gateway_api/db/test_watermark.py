"""An older copy of the database is noticed, until it has been dealt with."""

from __future__ import annotations

from pathlib import Path

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.watermark import NAME, Watermark
from sqlalchemy import text


def lines(database: Database, count: int) -> None:
    line = text("INSERT INTO event (time, type, transfer, data) VALUES (0, 'x', 1, '{}')")
    for _ in range(count):
        database.write(lambda connection: connection.execute(line) and None)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path}/one.db"
    migrate(url)
    return Database(url)


def test_an_older_copy_stays_one_until_it_is_dealt_with(database: Database, tmp_path: Path) -> None:
    lines(database, 3)
    watermark = Watermark(database, tmp_path)
    assert not watermark.is_older_copy()
    watermark.keep()
    (tmp_path / NAME).write_text("7\n")  # seen before the copy was restored
    assert watermark.is_older_copy()
    watermark.keep()  # a gateway that could not begin, or a chore
    assert watermark.is_older_copy()
    watermark.begin_anew()
    assert not watermark.is_older_copy()
    assert (tmp_path / NAME).read_text() == "3\n"
    database.close()
