"""The routes of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...policy import Rule
from ...resources import PageTicket, Ticket
from ..route import Answer, Call, Route
from .stream import StreamHandler, StreamQuery
from .websocket import SocketHandler

if TYPE_CHECKING:
    from ...gateway import Gateway


def make_ticket(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.socket_ticket(call.actor), 201)


def make_page_ticket(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.page_tickets.create(call.actor), 201)


EVENTS: Final = (
    Route("GET", "/api/v1/events", Rule.USER, "Follow events, as a stream of server-sent events", StreamHandler,
          "text/event-stream", query=StreamQuery,
          headers={"Last-Event-ID": "go on behind this event; it goes before 'after'"}),
    Route("GET", "/api/v1/events/ws", Rule.USER, "Follow events over a WebSocket, many topics on one", SocketHandler,
          None, 101, headers={"Sec-WebSocket-Protocol": "scigate.v1, and 'ticket.' with a ticket for browsers"}),
    Route("POST", "/api/v1/tickets", Rule.USER, "A ticket with which a browser opens one WebSocket", make_ticket,
          Ticket, 201, harmless=True, refusals=(403,)),
    Route("POST", "/api/v1/tickets/page", Rule.USER, "A ticket for a page in a browser, in place of your token",
          make_page_ticket, PageTicket, 201, harmless=True, refusals=(403,)),
)  # fmt: skip
