"""A database with transfers, and a way to write lines of its journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scigate.gateway_api.db.database import Database, Job
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import event, transfer
from scigate.gateway_api.events.journal import Journal
from sqlalchemy import Connection, insert

DEADLINE = (datetime.now(UTC) + timedelta(days=1)).timestamp()


@dataclass
class Book:
    """A journal that is written by hand. ``transfers``: id → row number."""

    url: str
    database: Database
    transfers: dict[str, int]

    @property
    def journal(self) -> Journal:
        return Journal(self.database)

    def begin(self, id: str, owner: str) -> str:
        """A new transfer."""
        row = {
            "id": id, "owner": owner, "wish": "run", "settled": True, "overwrite": "fail", "verify": "auto",
            "priority": 5, "created": 0.0, "deadline": DEADLINE, "label": f"of {owner}",
        }  # fmt: skip
        self.transfers[id] = self.database.write(
            lambda c: int(c.execute(insert(transfer).values(row).returning(transfer.c.seq)).scalar_one())
        )
        return id

    def line(self, id: str, kind: str = "transfer.noted", **data: Any) -> Job[int]:
        """A job that writes a line about a transfer, and returns its id."""
        values = {"time": 1.5, "type": kind, "transfer": self.transfers[id], "data": json.dumps(data)}

        def job(connection: Connection) -> int:
            return int(connection.execute(insert(event).values(values).returning(event.c.id)).scalar_one())

        return job

    def write(self, id: str, kind: str = "transfer.noted", **data: Any) -> int:
        return self.database.write(self.line(id, kind, **data))


ADAS, BOS = "a" * 32, "b" * 32


def make_book(url: str) -> Book:
    migrate(url)
    book = Book(url, Database(url), {})
    book.begin(ADAS, "ada")
    book.begin(BOS, "bo")
    return book


@pytest.fixture(params=["sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, database_with_tables: Callable[[str], str]) -> Iterator[Book]:
    """On both databases; a transfer of ada's and one of bo's."""
    made = make_book(database_with_tables(request.param))
    yield made
    made.database.close()


@pytest.fixture
def shared_book(postgresql_database: str) -> Iterator[Book]:
    """On PostgreSQL, which several gateways can share."""
    made = make_book(postgresql_database)
    yield made
    made.database.close()
