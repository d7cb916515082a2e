"""Events: one schema for the journal, the streams and the webhooks. It is CloudEvents 1.0 in structured JSON mode."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from .base import Cause, PathText, Request, Resource

TOPIC = r"transfers|transfer:[0-9a-f]{32}"
"""What can be followed: all transfers that the actor sees, or one of them."""


class Event(Resource):
    """Something that happened, as a CloudEvent (CloudEvents 1.0.2 §3); ``id`` grows and is unique at this gateway."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(description="a decimal number; resume behind it with 'after' or 'Last-Event-ID'")
    source: str = Field(
        description="path of the transfer", examples=["/api/v1/transfers/0123456789abcdef0123456789abcdef"]
    )
    type: str = Field(examples=["scigate.transfer.submitted", "scigate.file.done", "scigate.upload.received"])
    subject: str | None = Field(default=None, description="id of the file, where it is about one")
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any]


class Ticket(Resource):
    """A right to open one WebSocket, once and soon: for browsers, which cannot send a token with it."""

    ticket: str = Field(description="goes into Sec-WebSocket-Protocol as 'ticket.<ticket>', never into a URL")
    expires: datetime


class PageTicket(Resource):
    """Who you are, signed, for a page in a browser: it stands for your token, for half a minute."""

    ticket: str = Field(description="send it as 'Authorization: Bearer <ticket>'; or, to open a WebSocket, in "
                                    "Sec-WebSocket-Protocol as 'ticket.<ticket>'; never in a URL")  # fmt: skip
    expires: datetime
    expires_in: float = Field(description="seconds from now; earlier when your own proof has to be renewed earlier")


class WebhookRequest(Request):
    """Where events are to be sent."""

    url: str = Field(min_length=1, max_length=2000, examples=["https://example.org/scigate"])
    topics: list[str] = Field(default=["transfers"], min_length=1, max_length=100)
    types: list[str] = Field(
        default=[], max_length=100, description="only these types; 'scigate.file.*' is all of a kind; empty: all"
    )


class WebhookState(StrEnum):
    """Whether events are delivered."""

    ACTIVE = "active"
    FAILING = "failing"
    """The last try failed; it is tried again at ``next_try``."""
    DISABLED = "disabled"
    """Nothing is delivered any more; ``cause`` says why, and POST …/enable begins again where it ended."""


class Webhook(Resource):
    """A subscription that is delivered by POST, in order, each event at least once."""

    id: str
    owner: str
    url: PathText = Field(description="to others than its owner without the values of its query")
    topics: list[str]
    types: list[str]
    created: datetime
    state: WebhookState
    delivered: str = Field(description="id of the last event that was accepted, or did not concern it")
    failures: int = Field(description="failed tries in a row")
    failing_since: datetime | None
    next_try: datetime | None
    cause: Cause | None = Field(description="why the last try failed, or why nothing is delivered")


class CreatedWebhook(Resource):
    """A new webhook with its secret, which is shown this once."""

    webhook: Webhook
    secret: str = Field(description="'whsec_…': key of the signatures (Standard Webhooks 1.0)")


class ReplayRequest(Request):
    """Deliver again."""

    after: str = Field(pattern=r"^[0-9]{1,18}$", description="the id of the event behind which to begin; '0': all")


class WebhookTest(Resource):
    """What a receiver said to one event of the type ``scigate.webhook.test``."""

    id: str = Field(description="the id of that event")
    accepted: bool
    cause: Cause | None = Field(description="why it was not accepted")
