"""The fixtures of tests/conftest.py themselves: a database that does not answer must not look like a passed test."""

from __future__ import annotations

import psycopg
import pytest


def test_the_postgresql_of_the_tests_answers_and_wants_a_password(postgresql: str) -> None:
    url = postgresql.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
    without = url.replace(url.split("@")[0], "postgresql://scigate")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(without)


def test_each_test_can_have_an_empty_database(postgresql_database: str) -> None:
    with psycopg.connect(postgresql_database.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)
