"""What the HTTP server needs to know of the hub that the gateway serves. Of JupyterHub's package nothing is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..route import Route


@dataclass(frozen=True, slots=True)
class HubParts:
    """``oauth`` is an ``auth.hub.Hub``; ``prefix`` is the path below which browsers find the gateway."""

    oauth: Any
    routes: tuple[Route, ...]
    prefix: str
    cookie_secret: bytes

    @property
    def cookies(self) -> dict[str, Any]:
        """Settings of tornado: what cookies are signed with, and that the one against forged forms is for us alone."""
        kept = {"samesite": "Lax", "httponly": True}  # the page has the token in its form
        return {"cookie_secret": self.cookie_secret, "xsrf_cookie_kwargs": kept}
