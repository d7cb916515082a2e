"""The webhooks of a gateway, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class Anybody(Mapping[str, bool]):
    """Owners, where users are a hub's: whoever is not known here is one of theirs, and sees their own transfers."""

    def __init__(self, known: Mapping[str, bool]) -> None:
        self._known = known

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> bool:
        return self._known.get(name, False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def webhooks(
    settings: Settings, folder: Path, database: Database, transfers: TransferStore
) -> tuple[Webhooks, Deliveries]:
    """The use cases, and the threads that deliver."""
    key = master_key(folder, settings.gateway.secret_key)
    store, journal = WebhookStore(database), Journal(database)
    egress = Egress(settings.egress, resolve=resolve_within(WITHIN.total_seconds(), resolve_by_system))
    sender = Sender(Poster(egress), key)

    def owners() -> Mapping[str, bool]:
        known = {name: Role.ADMIN in user.roles for name, user in settings.users.items()}
        return known if settings.hub is None else Anybody(known)

    deliveries = Deliveries(store, journal, sender, key, owners, worker=gateway_id(folder))
    cases = Webhooks(
        store, journal, sender, key, owners,
        check_url=egress.check, check_transfer=transfers.get, most=settings.limits.webhooks_per_user,
    )  # fmt: skip
    cases.on_change = deliveries.look
    database.on_commit.append(deliveries.look)
    return cases, deliveries
