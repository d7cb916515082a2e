"""What the extension itself refuses, as the gateway says it: RFC 9457 problem details.

It imports nothing of the gateway, as it also has to say that the gateway cannot be imported.
"""

from __future__ import annotations

from http.client import responses
from typing import Final

TYPE_ROOT: Final = "tag:scigate,2026:problem:"


class Refusal(Exception):
    """A request that cannot be served: what happened, to what, and what to do next."""

    def __init__(
        self, status: int, code: str, title: str, *, detail: str = "", next_step: str, retriable: bool = False
    ) -> None:
        super().__init__(detail or title)
        self.status, self.code, self.title = status, code, title
        self.detail, self.next_step, self.retriable = detail, next_step, retriable

    def as_json(self) -> dict[str, object]:
        """The members of RFC 9457 §3.1 and the gateway's ``code``, ``retriable`` and ``next_step``."""
        return {
            "type": TYPE_ROOT + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
            "code": self.code,
            "retriable": self.retriable,
            "next_step": self.next_step,
        }


def from_http(status: int, message: str, *, known: bool) -> Refusal:
    """What Jupyter Server refuses by itself, in words. ``known``: whether the caller has signed in."""
    if status in (401, 403) and not known:
        return Refusal(
            403, "not-signed-in", "You are not signed in to this Jupyter Server.",
            next_step="Sign in, or send the server's token as 'Authorization: token …'.",
        )  # fmt: skip
    if status == 403 and "xsrf" in message.lower():
        return Refusal(
            403, "xsrf", "This request does not prove that it comes from a page of this Jupyter Server.",
            next_step="Send the value of the cookie _xsrf in the header X-XSRFToken, or a token instead of cookies.",
        )  # fmt: skip
    title = f"The Jupyter Server refuses this: {responses.get(status, 'error')}."
    return Refusal(status, f"http-{status}", title, next_step="The server's log says more.")


def too_large(limit: int) -> Refusal:
    """A body that has to be looked at as a whole, and is more than anybody needs."""
    title = f"The body is larger than {limit} bytes."
    return Refusal(413, "body-too-large", title, next_step="Split the request and try again.")


def unreachable(url: str, why: str) -> Refusal:
    """The gateway does not answer."""
    return Refusal(
        502, "gateway-unreachable", "The gateway does not answer.",
        detail=f"The gateway at {url} does not answer: {why}.",
        next_step="Try again in a minute; if it stays so, tell whoever runs it.", retriable=True,
    )  # fmt: skip
