"""Webhooks, from a notebook or a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..resources import CreatedWebhook, Webhook, WebhookTest
from .errors import InvalidLocation
from .handle import pages
from .session import Session, parse


class Webhooks:
    """The user's webhooks at a gateway; ``Gateway.webhooks`` gives it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[Webhook]:
        """All of them, oldest first."""
        return pages(self._session, Webhook, "webhooks")

    def add(self, url: str, *, topics: Sequence[str] = ("transfers",), types: Sequence[str] = ()) -> CreatedWebhook:
        """Have events sent to ``url`` from now on. The secret in the answer is shown this once."""
        body = {"url": url, "topics": list(topics), "types": list(types)}
        return parse(CreatedWebhook, self._session.send("POST", "webhooks", repeatable=False, body=body))

    def get(self, id: str) -> Webhook:
        """How far it is delivered, and why it fails if it does."""
        return self._session.read(Webhook, _path(id))

    def remove(self, id: str) -> None:
        """Send nothing more."""
        self._session.send("DELETE", _path(id), repeatable=False)

    def test(self, id: str) -> WebhookTest:
        """Have a test event sent now; says what the receiver answered."""
        return parse(WebhookTest, self._session.send("POST", f"{_path(id)}/test", repeatable=True))

    def replay(self, id: str, after: str) -> Webhook:
        """Deliver again what came behind the event ``after``; ``"0"``: everything."""
        return self._asked(f"{_path(id)}/replay", {"after": after})

    def enable(self, id: str) -> Webhook:
        """Try again now, also what was disabled."""
        return self._asked(f"{_path(id)}/enable", None)

    def _asked(self, path: str, body: Any) -> Webhook:
        return parse(Webhook, self._session.send("POST", path, repeatable=True, body=body))


def _path(id: str) -> str:
    if not (id.isascii() and id.isalnum()):
        raise InvalidLocation(f"{id!r} is not the id of a webhook.", next_step="'scigate webhooks' shows the ids.")
    return f"webhooks/{id}"
