"""The use cases of page tickets: making one, and knowing who has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ..actor import Actor
from ..problems import Problem
from ..resources import PageTicket, Ticket
from .page_ticket import LONGEST, PROOF, TicketExpired, mint, read

PURPOSE: Final = b"scigate page ticket 1\0"
"""What the key is derived for, see ``MasterKey``."""


class PageTickets:
    """Makes and reads them with one key; ``clock`` is seconds since 1970, the same at all gateways of the key."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key, clock

    def create(self, actor: Actor) -> PageTicket:
        """A ticket with the rights of ``actor``. ``Problem`` 403 for who has come with a ticket: it would never end."""
        check_renewable(actor)
        now = self._clock()
        ticket, expires = mint(self._key, actor, now)
        if len(ticket) > LONGEST:
            raise Problem(403, "too-many-communities", "You are in so many communities that no ticket can name them.",
                          next_step="Ask an admin to take you out of some groups.")  # fmt: skip
        return PageTicket(ticket=ticket, expires=datetime.fromtimestamp(expires, UTC), expires_in=max(0, expires - now))

    def for_socket(self, actor: Actor) -> Ticket:
        """The same as a right to open a WebSocket."""
        made = self.create(actor)
        return Ticket(ticket=made.ticket, expires=made.expires)

    def actor(self, ticket: str) -> Actor | None:
        """Whose ticket this is; None: it is none of ours. ``Problem`` 401 when its time is over."""
        try:
            return read(self._key, ticket, self._clock())
        except TicketExpired:
            raise _expired() from None


def check_renewable(actor: Actor) -> None:
    """Raise a ``Problem`` for who has come with a ticket: only a token makes others."""
    if actor.proof == PROOF:
        raise Problem(403, "ticket-from-ticket", "A ticket cannot make another ticket.",
                      next_step="Ask for it with the token that the first one was made with.")  # fmt: skip


def _expired() -> Problem:
    return Problem(401, "ticket-expired", "This page ticket has expired.",
                   next_step="Get a new one with POST /api/v1/tickets/page, and repeat the request.")  # fmt: skip
