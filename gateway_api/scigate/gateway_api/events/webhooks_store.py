"""The table of webhooks: what their owners ask, and how far each is delivered. The only SQL of the webhooks.

Who delivers holds a lease on the row, so that of several gateways one delivers, and another when it has died. Each
change of the cursor names the value it was: whoever was overtaken, by a replay or another gateway, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from ..db.database import Database
from ..db.schema import webhook
from ..problems import conflict, not_found
from ..resources import Cause

LEASE: Final = 30.0  # seconds; longer than one try, and renewed before each


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to be made; ``key`` is the name of the master key that its secret is derived from."""

    id: str
    owner: str
    url: str
    topics: Sequence[str]
    types: Sequence[str]
    key: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as its delivery sees it."""

    seq: int
    id: str
    owner: str
    url: str
    topics: tuple[str, ...]
    types: tuple[str, ...]
    delivered: int
    failures: int
    failing_since: float | None
    next_try: float


class WebhookStore:
    """All webhooks. ``owner`` None means: those of everybody. What is foreign is answered like what is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- for their owners ----------------------------------------------------------------------------------------

    def create(self, new: NewWebhook, delivered: int, most: int) -> Any:
        """A new row that begins behind ``delivered``. ``Problem`` 409 if the owner has ``most`` already."""

        def job(connection: Connection) -> None:
            if _row(connection, new.id) is not None:
                return  # our own commit, whose answer was lost
            count = select(func.count()).where(webhook.c.owner == new.owner)
            if connection.execute(count).scalar_one() >= most:
                raise conflict("too-many-webhooks", f"You have {most} webhooks already.", "Delete one of them first.")
            connection.execute(insert(webhook), {
                "id": new.id, "owner": new.owner, "url": new.url, "topics": json.dumps(list(new.topics)),
                "types": json.dumps(list(new.types)), "created": self._database.now(connection), "key": new.key,
                "delivered": delivered,
            })  # fmt: skip

        self._database.write(job)
        return self.get(new.id, None)

    def list(self, owner: str | None, after: int, limit: int) -> Sequence[Any]:
        """Rows in the order in which they were made, from behind the sequence number ``after``."""
        query = select(webhook).where(webhook.c.seq > after, *_own(owner)).order_by(webhook.c.seq).limit(limit)
        with self._database.read() as connection:
            return connection.execute(query).all()

    def get(self, id: str, owner: str | None) -> Any:
        """One row. ``Problem`` 404."""
        with self._database.read() as connection:
            return _own_row(connection, id, owner)

    def delete(self, id: str, owner: str | None) -> None:
        """Remove it. ``Problem`` 404."""
        self.get(id, owner)
        self._database.write(lambda connection: connection.execute(delete(webhook).where(webhook.c.id == id)))

    def change(self, id: str, owner: str | None, values: dict[str, Any]) -> Any:
        """Set these columns. ``Problem`` 404. Returns the row as it is then."""

        def job(connection: Connection) -> Any:
            _own_row(connection, id, owner)
            connection.execute(update(webhook).where(webhook.c.id == id).values(**values))
            return _row(connection, id)

        return self._database.write(job)

    def count_of_other_keys(self, key: str) -> int:
        """Webhooks that this gateway cannot sign for."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).where(webhook.c.key != key)).scalar_one())

    # --- for their delivery --------------------------------------------------------------------------------------

    def due(self, worker: str, key: str, newest: int, owners: Collection[str]) -> Sequence[Delivery]:
        """What ``worker`` could deliver now, of these owners: something may be new, and nobody else is at it."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            query = select(webhook).where(webhook.c.key == key, webhook.c.delivered < newest, _is_free(worker, now))
            rows = connection.execute(query).all()
        return [_delivery(row) for row in rows if row.owner in owners]

    def claim(self, seq: int, worker: str) -> Delivery | None:
        """Take the lease; None if somebody else was faster, or nothing is to be delivered any more."""

        def job(connection: Connection) -> Any:
            now = self._database.now(connection)
            query = update(webhook).where(webhook.c.seq == seq, _is_free(worker, now))
            if connection.execute(query.values(worker=worker, lease_until=now + LEASE)).rowcount == 0:
                return None
            return connection.execute(select(webhook).where(webhook.c.seq == seq)).one()

        row = self._database.write(job)
        return None if row is None else _delivery(row)

    def accepted(self, held: Delivery, worker: str, delivered: int) -> Delivery | None:
        """The receiver has everything up to ``delivered``: kept, and the lease renewed for the next try.

        None if the lease was lost, or the owner has changed the webhook meanwhile: then nothing is kept, and the event
        may be delivered twice.
        """
        values = {"delivered": delivered, "failures": 0, "failing_since": None, "cause": None, "next_try": 0.0}
        done = replace(held, delivered=delivered, failures=0, failing_since=None)
        return done if self._set(held, worker, values) else None

    def skip(self, held: Delivery, worker: str, delivered: int) -> None:
        """Nothing up to ``delivered`` concerns it."""
        self._set(held, worker, {"delivered": delivered})

    def refused(self, held: Delivery, worker: str, cause: Cause, last: Cause, *, delay: float, give_up: float) -> bool:
        """A try failed by ``cause``: the next one is in ``delay`` seconds.

        After ``give_up`` seconds of failures it is disabled instead, by ``last``; returns whether that was now.
        """

        def job(connection: Connection) -> bool:
            now = self._database.now(connection)
            since = held.failing_since or now
            over = now - since >= give_up
            values = {
                "failures": held.failures + 1, "failing_since": since, "next_try": now + delay, "disabled": over,
                "cause": (last if over else cause).model_dump_json(), "worker": None, "lease_until": None,
            }  # fmt: skip
            return (
                connection.execute(update(webhook).where(_held(held, worker)).values(**values)).rowcount == 1 and over
            )

        return self._database.write(job)

    def release(self, seq: int, worker: str) -> None:
        """Give the lease back."""
        its = update(webhook).where(webhook.c.seq == seq, webhook.c.worker == worker)
        self._database.write(lambda connection: connection.execute(its.values(worker=None, lease_until=None)))

    def _set(self, held: Delivery, worker: str, values: dict[str, Any]) -> bool:
        def job(connection: Connection) -> bool:
            lease = {"lease_until": self._database.now(connection) + LEASE}
            changed = update(webhook).where(_held(held, worker)).values(**values, **lease)
            return connection.execute(changed).rowcount == 1

        return self._database.write(job)


def _is_free(worker: str, now: float) -> ColumnElement[bool]:
    """Enabled, its time has come, and leased to nobody else; our own lease is left from before we were killed."""
    unheld = or_(webhook.c.worker.is_(None), webhook.c.worker == worker, webhook.c.lease_until < now)
    return and_(webhook.c.disabled.is_(False), webhook.c.next_try <= now, unheld)


def _held(held: Delivery, worker: str) -> ColumnElement[bool]:
    """Still ours, and as far as we know: a replay changes ``delivered``, an owner's enabling ``failures``."""
    return and_(
        webhook.c.seq == held.seq, webhook.c.worker == worker, webhook.c.delivered == held.delivered,
        webhook.c.failures == held.failures,
    )  # fmt: skip


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.seq, row.id, row.owner, row.url, tuple(json.loads(row.topics)), tuple(json.loads(row.types)),
        row.delivered, row.failures, row.failing_since, row.next_try,
    )  # fmt: skip


def _own(owner: str | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [webhook.c.owner == owner]


def _row(connection: Connection, id: str) -> Any:
    return connection.execute(select(webhook).where(webhook.c.id == id)).one_or_none()


def _own_row(connection: Connection, id: str, owner: str | None) -> Any:
    row = _row(connection, id)
    if row is None or (owner is not None and row.owner != owner):
        raise not_found("webhook", id)
    return row
