"""Each test of the database runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgresql_database")
        return found
    return f"sqlite:///{tmp_path / 'db' / 'scigate.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    migrate(url)
    database = Database(url)
    yield database
    database.close()
