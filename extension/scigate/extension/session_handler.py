"""``POST scigate/session``: what a page needs to talk to the gateway."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from .headers import API
from .problem import Refusal
from .problem_handler import ProblemHandler
from .upstream import Upstream, ask_json

if TYPE_CHECKING:
    from .app import ScigateExtension

TICKETS = f"{API}/tickets/page"


class SessionHandler(ProblemHandler):
    """Where the API is for this page, and with a hub a ticket with which it asks the gateway directly.

    Whoever may only read here gets no ticket, as a ticket is good for all that the server's user may do: their page
    asks through this server, which looks at each request.
    """

    @property
    def action(self) -> str:
        return "read"

    async def get(self) -> None:
        """Set the cookie with which a page proves that it is ours (XSRF); a page of Voila alone comes without it."""
        self.raise_refusal()
        _ = self.xsrf_token  # reading it is what sets the cookie
        self.set_header("Cache-Control", "no-store")
        self.set_status(204)
        self.finish()

    async def post(self) -> None:
        self.raise_refusal()
        extension: ScigateExtension = self.settings["scigate"]
        upstream = await extension.door.upstream()
        home_api = self.prefix() + API
        told: dict[str, Any] = {
            "api": home_api, "ticket": None, "expires_in": None, "home_api": home_api, "user": extension.user,
            "hub": extension.with_hub, "version": version("scigate"),
        }  # fmt: skip
        if extension.with_hub and await self.is_allowed("write"):
            told |= {"api": upstream.public_path + API, **await self._ticket(extension)}
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(told))

    async def _ticket(self, extension: ScigateExtension) -> dict[str, Any]:
        status, answer = await ask_json(extension.connections, extension.door, "POST", TICKETS)
        if status == 201:
            return {"ticket": answer["ticket"], "expires_in": answer["expires_in"]}
        raise refused(status, answer, await extension.door.upstream())


def refused(status: int, answer: Any, upstream: Upstream) -> Refusal:
    """The gateway gives no ticket: its own words if it has any."""
    said = answer if isinstance(answer, dict) else {}
    if status == 401:
        title = "The gateway does not accept the token of this Jupyter Server."
        advice = "Stop this server in the hub's control panel and start it again."
    else:
        title = str(said.get("title") or f"The gateway answers with status {status}.")
        advice = str(said.get("next_step") or f"Ask whoever runs the gateway at {upstream.url}.")
    busy = status in (429, 503)
    return Refusal(403 if status == 403 else 503 if busy else 502, "no-ticket", title, retriable=busy,
                   detail=str(said.get("detail") or ""), next_step=advice)  # fmt: skip
