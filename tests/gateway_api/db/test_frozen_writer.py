"""A gateway that is frozen in a transaction of PostgreSQL keeps no other one from its rows: its session is ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scigate.gateway_api.db.database import Database
from sqlalchemy import Connection, text

SETTINGS = text("SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout')")


def _settings(connection: Connection) -> tuple[str, str]:
    idle, lock = connection.execute(SETTINGS).one()
    return idle, lock


@pytest.mark.parametrize("way", ["write", "write_apart"])
def test_whoever_stands_still_in_a_transaction_loses_it(database_with_tables: Callable[[str], str], way: str) -> None:
    """A lease is renewed apart, for example: others have to be able to take over whoever stands still in just that."""
    database = Database(database_with_tables("postgresql"))
    try:
        assert getattr(database, way)(_settings) == ("10s", "20s")
    finally:
        database.close()
