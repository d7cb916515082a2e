"""Webhooks on a real database, delivered to real receivers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.events.journal import Journal
from scigate.gateway_api.events.webhooks import Webhooks
from scigate.gateway_api.events.webhooks_delivery import Deliveries, Sender
from scigate.gateway_api.events.webhooks_rules import Retries, Turns
from scigate.gateway_api.events.webhooks_signing import MasterKey
from scigate.gateway_api.events.webhooks_store import WebhookStore
from scigate.gateway_api.resources import CreatedWebhook, TransferRequest, Webhook, WebhookRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.egress import Egress, EgressPolicy
from scigate.gateway_api.transfers.egress_post import Poster
from scigate.gateway_api.transfers.store import TransferStore
from scigate.storage_backends.credential import Secret

from tests.gateway_api.events.webhooks.receiver import Receiver

ADA, BO, ROOT = Actor("ada", "Ada"), Actor("bo", "Bo"), Actor("root", "Root", roles=frozenset({Role.ADMIN}))
QUICK = Retries(first=timedelta(milliseconds=50), longest=timedelta(milliseconds=200))
KEY = "the-master-key-of-these-tests-" + "k" * 30


@dataclass
class Office:
    """One gateway's webhooks, and a journal to fill. ``users``: name → whether an admin."""

    database: Database
    users: dict[str, bool] = field(default_factory=lambda: {"ada": False, "bo": False, "root": True})
    key: str = KEY
    worker: str = "first"
    within: timedelta = timedelta(minutes=1)
    retries: Retries = QUICK
    turns: Turns = field(default_factory=Turns)
    most: int = 20

    def __post_init__(self) -> None:
        self.transfers = TransferStore(self.database, lambda storage, path: None)
        self.store, self.journal = WebhookStore(self.database), Journal(self.database)
        egress = Egress(EgressPolicy(allow=("127.0.0.1:*",)))
        master = MasterKey(Secret(self.key))
        sender = Sender(Poster(egress, self.within), master)
        common = (self.store, self.journal, sender, master, lambda: self.users)
        self.webhooks = Webhooks(*common, check_url=egress.check, check_transfer=self.transfers.get, most=self.most)
        self.deliveries = Deliveries(*common, worker=self.worker, retries=self.retries, turns=self.turns)
        self.webhooks.on_change = self.deliveries.look

    def make(self, receiver: Receiver, actor: Actor = ADA, **more: Any) -> CreatedWebhook:
        return self.webhooks.create(actor, WebhookRequest(url=receiver.url, **more))

    def show(self, created: CreatedWebhook) -> Webhook:
        return self.webhooks.show(ROOT, created.webhook.id)

    def happen(self, count: int = 1, owner: str = "ada") -> list[str]:
        """So many events of a user; returns the ids of their transfers. Nothing moves them."""
        wanted = TransferRequest.model_validate({"files": [{"source": "a:/f", "destination": "b:/f"}]})
        free: Any = {"may_read": lambda name: None, "may_write": lambda name: None, "check_url": lambda url: None}
        read = submission.read(wanted, **free)
        return [self.transfers.submit(owner, read, key=None, fingerprint="f").transfer.id for _ in range(count)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked as ever, only more often."""
    monkeypatch.setattr("scigate.gateway_api.events.webhooks_delivery.TICK", 0.05)
    monkeypatch.setattr("scigate.gateway_api.events.webhooks_delivery.PAUSE", 0.01)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, database_with_tables: Callable[[str], str]) -> str:
    """The URL of a database without rows."""
    return database_with_tables(request.param)


@pytest.fixture
def open_office() -> Iterator[Callable[..., Office]]:
    """``open_office(url, **options)`` starts to deliver; all are closed with the test."""
    opened: list[Office] = []
    before = set(threading.enumerate())  # of gateways that other tests of this process share

    def open_at(url: str, **options: Any) -> Office:
        migrate(url)
        office = Office(Database(url), **options)
        office.deliveries.start()
        opened.append(office)
        return office

    yield open_at
    for office in opened:
        office.deliveries.stop()
        office.database.close()
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if thread.name.startswith("webhook")]


@pytest.fixture
def office(tmp_path: Path, open_office: Callable[..., Office]) -> Office:
    """One on SQLite."""
    return open_office(f"sqlite:///{tmp_path / 'scigate.db'}")


@pytest.fixture
def new_receiver() -> Iterator[Callable[..., Receiver]]:
    """``new_receiver(answer)`` listens until the test ends."""
    made: list[Receiver] = []

    def make(*args: Any, **options: Any) -> Receiver:
        made.append(Receiver(*args, **options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


@pytest.fixture
def receiver(new_receiver: Callable[..., Receiver]) -> Receiver:
    """One that accepts everything."""
    return new_receiver()
