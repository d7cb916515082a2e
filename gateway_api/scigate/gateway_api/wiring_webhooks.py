"""The webhooks of a gateway, put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .actor import Role
from .db.database import Database
from .events.journal import Journal
from .events.webhooks import Webhooks
from .events.webhooks_delivery import Deliveries, Sender
from .events.webhooks_signing import master_key
from .events.webhooks_store import WebhookStore
from .settings import Settings
from .transfers.egress import Egress, resolve_by_system
from .transfers.egress_post import WITHIN, Poster, resolve_within
from .transfers.store import TransferStore
from .wiring_uploads import gateway_id


def webhooks(
    settings: Settings, folder: Path, database: Database, transfers: TransferStore
) -> tuple[Webhooks, Deliveries]:
    """The use cases, and the threads that deliver."""
    key = master_key(folder, settings.gateway.secret_key)
    store, journal = WebhookStore(database), Journal(database)
    egress = Egress(settings.egress, resolve=resolve_within(WITHIN.total_seconds(), resolve_by_system))
    sender = Sender(Poster(egress), key)

    def owners() -> Mapping[str, bool]:
        return {name: Role.ADMIN in user.roles for name, user in settings.users.items()}

    deliveries = Deliveries(store, journal, sender, key, owners, worker=gateway_id(folder))
    cases = Webhooks(
        store, journal, sender, key, owners,
        check_url=egress.check, check_transfer=transfers.get, most=settings.limits.webhooks_per_user,
    )  # fmt: skip
    cases.on_change = deliveries.look
    database.on_commit.append(deliveries.look)
    return cases, deliveries
