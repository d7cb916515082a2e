"""How a thing that was looked at is told."""

from __future__ import annotations

from urllib.parse import urlsplit

from scigate.gateway_api.client import Check, access


def right(name: str, message: str, next_step: str | None = None) -> Check:
    """All is well; ``next_step`` is what one may want to do nevertheless."""
    return Check(name=name, ok=True, message=message, next_step=next_step)


def wrong(name: str, message: str, next_step: str) -> Check:
    """Something is to be put right."""
    return Check(name=name, ok=False, message=message, next_step=next_step)


def is_loopback(url: str) -> bool:
    """Whether this address is of this machine."""
    return access.is_loopback(urlsplit(url).hostname or "")
