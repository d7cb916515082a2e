"""What people do with webhooks: make, look at, test, replay, enable, remove."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from scigate.storage_backends.location import redact
from scigate.storage_backends.web_url import InvalidUrl

from ..actor import Actor
from ..db.paging import cursor, next_cursor
from ..policy import owner_seen
from ..problems import Problem, conflict
from ..resources import (
    Cause,
    CreatedWebhook,
    Event,
    Page,
    ReplayRequest,
    Webhook,
    WebhookRequest,
    WebhookState,
    WebhookTest,
)
from .cloudevents import as_json
from .journal import Journal
from .topics import check_topics, check_types, transfers_of
from .webhooks_delivery import Owners, Sender
from .webhooks_signing import MasterKey
from .webhooks_store import NewWebhook, WebhookStore

TEST: Final = "scigate.webhook.test"
TESTS_AT_ONCE: Final = 4
CORRECT_URL: Final = "Give the URL of your receiver, for example https://example.org/scigate."

CheckTransfer = Callable[[str, str | None], object]
"""(id of a transfer, owner or None for everybody's): raises a ``Problem`` 404 unless it is there for them."""


class Webhooks:
    """The webhooks of this gateway. Every method may block; refusals are ``Problem`` or ``StorageError``."""

    def __init__(
        self, store: WebhookStore, journal: Journal, sender: Sender, key: MasterKey, owners: Owners, *,
        check_url: Callable[[str], object], check_transfer: CheckTransfer, most: int,
    ) -> None:  # fmt: skip
        self._store, self._journal, self._sender, self._key, self._owners = store, journal, sender, key, owners
        self._check_url, self._check_transfer, self._most = check_url, check_transfer, most
        self._testing = threading.Semaphore(TESTS_AT_ONCE)
        self.on_change: Callable[[], None] = lambda: None
        """Called when there may be something to deliver."""

    def create(self, actor: Actor, request: WebhookRequest) -> CreatedWebhook:
        """A webhook for what happens from now on. Its secret is in this answer only."""
        topics, types = check_topics(request.topics), check_types(request.types)
        for transfer in transfers_of(topics):
            self._check_transfer(transfer, owner_seen(actor))
        self._judge(request.url)
        new = NewWebhook(secrets.token_hex(16), actor.id, request.url, topics, types, self._key.name)
        row = self._store.create(new, self._journal.newest(), self._most)
        return CreatedWebhook(webhook=self._view(row, actor), secret=self._key.shown(new.id))

    def list(self, actor: Actor, *, after: str | None, limit: int) -> Page[Webhook]:
        """The actor's webhooks, oldest first; an admin sees everybody's."""
        rows = self._store.list(owner_seen(actor), cursor(after) or 0, limit + 1)
        return Page(items=[self._view(row, actor) for row in rows[:limit]], next=next_cursor(rows, limit))

    def show(self, actor: Actor, id: str) -> Webhook:
        """One of them."""
        return self._view(self._store.get(id, owner_seen(actor)), actor)

    def delete(self, actor: Actor, id: str) -> None:
        """Deliver nothing more; a try that is running still ends."""
        self._store.delete(id, owner_seen(actor))

    def replay(self, actor: Actor, id: str, request: ReplayRequest) -> Webhook:
        """Go on behind another event: what came after it is delivered again, or skipped."""
        after, newest = int(request.after), self._journal.newest()
        if after > newest:
            title = f"There is no event {after} yet: the newest is {newest}."
            raise Problem(422, "invalid-cursor", title, next_step="Use the id of an event, or 0 for all of them.")
        return self._changed(actor, id, {"delivered": after, "next_try": 0.0})

    def enable(self, actor: Actor, id: str) -> Webhook:
        """Try again now, also what was disabled; it goes on where it ended."""
        again = {"disabled": False, "failures": 0, "failing_since": None, "next_try": 0.0, "cause": None}
        return self._changed(actor, id, again)

    def test(self, actor: Actor, id: str) -> WebhookTest:
        """Send one event of the type ``scigate.webhook.test`` now, also to a disabled webhook, and tell the outcome."""
        row = self._store.get(id, owner_seen(actor))
        if row.key != self._key.name:
            raise conflict("other-key", _other_key().message, _other_key().next_step)
        if not self._testing.acquire(blocking=False):
            raise Problem(
                503, "busy", "Other webhooks are being tested.", next_step="Try again in a few seconds.",
                retriable=True, retry_after=timedelta(seconds=5),
            )  # fmt: skip
        try:
            event = _test_event(row)
            refusal = self._sender.send(row.id, row.url, event.id, as_json(event).encode("ascii"))
        finally:
            self._testing.release()
        return WebhookTest(id=event.id, accepted=refusal is None, cause=refusal.cause if refusal else None)

    def _judge(self, url: str) -> None:
        try:
            self._check_url(url)
        except InvalidUrl as error:
            error.next_step = CORRECT_URL  # its own is for who pulls a file
            raise

    def _changed(self, actor: Actor, id: str, values: dict[str, Any]) -> Webhook:
        row = self._store.change(id, owner_seen(actor), values)
        self.on_change()
        return self._view(row, actor)

    def _view(self, row: Any, actor: Actor) -> Webhook:
        cause = self._cause(row)
        stopped = row.disabled or row.key != self._key.name or row.owner not in self._owners()
        state = WebhookState.DISABLED if stopped else WebhookState.FAILING if row.failures else WebhookState.ACTIVE
        return Webhook(
            id=row.id, owner=row.owner, url=row.url if actor.id == row.owner else redact(row.url),
            topics=json.loads(row.topics), types=json.loads(row.types), created=_when(row.created), state=state,
            delivered=str(row.delivered), failures=row.failures,
            failing_since=None if row.failing_since is None else _when(row.failing_since),
            next_try=_when(row.next_try) if state is WebhookState.FAILING else None, cause=cause,
        )  # fmt: skip

    def _cause(self, row: Any) -> Cause | None:
        if row.key != self._key.name:
            return _other_key()
        if row.owner not in self._owners():
            return Cause(
                code="owner-unknown", message=f"{row.owner!r} is no user of this gateway any more.", retriable=True,
                next_step="Delete the webhook, or add the user to scigate.toml again.",
            )  # fmt: skip
        return None if row.cause is None else Cause.model_validate_json(row.cause)


def _other_key() -> Cause:
    return Cause(
        code="other-key", message="The webhook was made under another master key, so it cannot be signed here.",
        retriable=False, next_step="Give the gateways of one database the same secret_key; or make the webhook anew.",
    )  # fmt: skip


def _test_event(row: Any) -> Event:
    id = f"test-{secrets.token_hex(8)}"  # not of the journal: receivers must not resume behind it
    return Event(
        id=id, source=f"/api/v1/webhooks/{row.id}", type=TEST, time=datetime.now(UTC),
        data={"webhook": row.id, "owner": row.owner},
    )  # fmt: skip


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
