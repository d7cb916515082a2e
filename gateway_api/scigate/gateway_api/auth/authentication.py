"""Who sent a request: by a page ticket, a token of the settings, or a token of the hub, asked in this order."""

from __future__ import annotations

from typing import Protocol

from ..actor import Actor
from .page_tickets import PageTickets
from .token import TokenUsers, token_in, unauthorized


class HubUsers(Protocol):
    """Knows the users of a hub."""

    async def actor(self, token: str) -> Actor | None:
        """Whose token this is; None: nobody's. ``Problem`` 403 without any right here, 503 if the hub does not say."""
        ...


class Authentication:
    """All ways in which an identity can be proven. ``hub`` None: there is none."""

    def __init__(self, users: TokenUsers, tickets: PageTickets, hub: HubUsers | None = None) -> None:
        self._users, self._tickets, self._hub = users, tickets, hub

    async def actor(self, authorization: str | None, *, browser: bool = False) -> Actor:
        """Who sent this ``Authorization`` header; a ``Problem`` 401 for nobody. ``browser``: see ``token_in``."""
        token = token_in(authorization, browser=browser)
        if token is None:
            raise unauthorized("There is no bearer token in this request.")
        found = self.of_ticket(token) or self._users.actor(token)
        if found is None and self._hub is not None:
            found = await self._hub.actor(token)
        if found is None:
            raise unauthorized("This token is not known here.")
        return found

    def of_ticket(self, word: str) -> Actor | None:
        """Whose page ticket this is; None: it is none. ``Problem`` 401 when it has expired."""
        return self._tickets.actor(word) if "." in word else None
