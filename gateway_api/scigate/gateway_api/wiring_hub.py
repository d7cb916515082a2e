"""What a gateway has in common with the hub that it serves, and the tickets of pages, put together."""

from __future__ import annotations

from pathlib import Path

from .auth.page_tickets import PURPOSE, PageTickets
from .events.webhooks_signing import master_key
from .settings import Settings


def page_tickets(settings: Settings, folder: Path) -> PageTickets:
    """Signed with a key of their own, which gateways with one ``secret_key`` share."""
    return PageTickets(master_key(folder, settings.gateway.secret_key).derived(PURPOSE))
