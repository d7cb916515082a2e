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
