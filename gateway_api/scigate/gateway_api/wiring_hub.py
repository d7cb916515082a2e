"""What a gateway has in common with the hub that it serves, and the tickets of pages, put together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from .auth.page_tickets import PURPOSE, PageTickets
from .db.database import Database
from .events.webhooks_signing import MasterKey, master_key
from .http.hub.parts import HubParts
from .settings import HubSection, Settings
from .settings_errors import SettingsError
from .transfers.present import Present

if TYPE_CHECKING:
    from .auth.hub_activity import Activity

_FOR_COOKIES: Final = b"scigate cookies 1\0"


class HubSide:
    """The tickets of pages; and, if the gateway serves a hub, its users, pages and activity."""

    def __init__(self, settings: Settings, folder: Path, database: Database) -> None:
        key = master_key(folder, settings.gateway.secret_key)
        self.tickets = PageTickets(key.derived(PURPOSE))
        self.parts: HubParts | None = None
        self._activity: Activity | None = None
        if settings.hub is not None:
            self.parts = _parts(settings.hub, key)
            present = Present(database, settings.limits.upload_expires)
            self._activity = _activity(settings.hub, present)

    def start(self) -> None:
        """Tell the hub from now on who must not be taken for idle."""
        if self._activity is not None:
            self._activity.start()

    def stop(self) -> None:
        """Tell it no more."""
        if self._activity is not None:
            self._activity.stop()


def _activity(section: HubSection, present: Present) -> Activity:
    """It is imported here because it brings httpx, which takes a tenth of a gateway's start and serves nobody else."""
    from .auth.hub_activity import Activity

    return Activity(section, present.owners)


def _parts(section: HubSection, key: MasterKey) -> HubParts:
    """JupyterHub is imported here, and only where there is a hub: it is an extra."""
    try:
        from .auth.hub import Hub
        from .http.hub.routes import PAGES
    except ModuleNotFoundError as error:
        problem = f"hub: the package {error.name} is missing. Install it: pip install 'scigate[hub]'."
        raise SettingsError("The hub", [problem]) from None
    return HubParts(Hub(section), PAGES, section.prefix, key.derived(_FOR_COOKIES))
