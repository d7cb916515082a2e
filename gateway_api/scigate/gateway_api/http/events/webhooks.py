"""The routes of webhooks: each translates one call into one use case."""

from __future__ import annotations

from typing import Final

from ...gateway import Gateway
from ...policy import Rule
from ...resources import CreatedWebhook, Page, ReplayRequest, Webhook, WebhookRequest, WebhookTest
from ..endpoints import PageQuery, as_kind, page_answer
from ..route import Answer, Call, Route

ALL: Final = "/api/v1/webhooks"
ONE: Final = f"{ALL}/{{id}}"


def create(gateway: Gateway, call: Call) -> Answer:
    created = gateway.webhooks.create(call.actor, as_kind(WebhookRequest, call.body))
    return Answer(created, 201, {"Location": call.url(ONE, id=created.webhook.id)})


def list_all(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(PageQuery, call.query)
    return page_answer(call, ALL, gateway.webhooks.list(call.actor, after=query.after, limit=query.limit))


def show(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.webhooks.show(call.actor, call.path["id"]))


def delete(gateway: Gateway, call: Call) -> Answer:
    gateway.webhooks.delete(call.actor, call.path["id"])
    return Answer(None, 204)


def replay(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.webhooks.replay(call.actor, call.path["id"], as_kind(ReplayRequest, call.body)))


def enable(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.webhooks.enable(call.actor, call.path["id"]))


def test(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.webhooks.test(call.actor, call.path["id"]))


WEBHOOKS: Final = (
    # storage=True: the receiver's name is looked up, or the receiver is waited for
    Route("POST", ALL, Rule.USER, "Have events sent to a URL of yours", create, CreatedWebhook, 201,
          body=WebhookRequest, storage=True),
    Route("GET", ALL, Rule.USER, "Your webhooks, oldest first", list_all, Page[Webhook], query=PageQuery),
    Route("GET", ONE, Rule.WEBHOOK, "One webhook: how far it is, and why it fails", show, Webhook),
    Route("DELETE", ONE, Rule.WEBHOOK, "Delete a webhook", delete, None, 204),
    Route("POST", f"{ONE}/replay", Rule.WEBHOOK, "Deliver again what came behind an event", replay, Webhook,
          body=ReplayRequest),
    Route("POST", f"{ONE}/enable", Rule.WEBHOOK, "Try again now, also what was disabled", enable, Webhook),
    Route("POST", f"{ONE}/test", Rule.WEBHOOK, "Send a test event now, and tell what the receiver said", test,
          WebhookTest, storage=True),
)  # fmt: skip
