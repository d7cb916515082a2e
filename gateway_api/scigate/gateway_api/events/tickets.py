"""Tickets: the right to open one WebSocket, for browsers, which can send no header with it.

A ticket is used once and lives for a minute. Only its SHA-256 is stored, in the database, so that a ticket is good at
every gateway of it and outlives a restart.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from ..db.database import Database
from ..db.schema import ticket
from ..problems import Problem
from ..resources import Ticket

LIFETIME: Final = timedelta(seconds=60)
MOST: Final = 100
"""Tickets that one user can have at a time."""


class Tickets:
    """All tickets that may still be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, actor: str) -> Ticket:
        """A new ticket of this user. Raises ``Problem`` 429 when they have too many."""
        word = secrets.token_urlsafe(32)

        def job(connection: Connection) -> float:
            now = self._database.now(connection)
            connection.execute(delete(ticket).where(ticket.c.expires <= now))
            _check_number(connection, actor)
            expires = now + LIFETIME.total_seconds()
            connection.execute(insert(ticket).values(hash=_hash(word), actor=actor, expires=expires))
            return expires

        return Ticket(ticket=word, expires=datetime.fromtimestamp(self._database.write(job), UTC))

    def redeem(self, word: str) -> str | None:
        """Whose ticket this is; it can never be used again. None: there is no such ticket (any more)."""

        def job(connection: Connection) -> str | None:
            used = delete(ticket).where(ticket.c.hash == _hash(word)).returning(ticket.c.actor, ticket.c.expires)
            row = connection.execute(used).one_or_none()
            return None if row is None or row.expires <= self._database.now(connection) else str(row.actor)

        return self._database.write(job)


def _check_number(connection: Connection, actor: str) -> None:
    held = select(func.count()).select_from(ticket).where(ticket.c.actor == actor)
    if connection.execute(held).scalar_one() >= MOST:
        raise Problem(429, "too-many-tickets", f"You have {MOST} tickets that are not used yet.", retriable=True,
                      retry_after=LIFETIME, next_step="Use them, or wait a minute: they expire.")  # fmt: skip


def _hash(word: str) -> str:
    return sha256(word.encode()).hexdigest()
