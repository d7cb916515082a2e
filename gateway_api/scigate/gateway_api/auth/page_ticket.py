"""Page tickets: a signed statement of who somebody is, for a page in a browser that must not hold their token.

It stands for itself: nothing is stored, so it is good at every gateway with the same key until it expires. Made of two
words of URL-safe base64 (RFC 4648 §5, unpadded) with a dot between: claims as JSON, and their HMAC-SHA256. Such a word
is also fit to be a subprotocol of a WebSocket.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any, Final

from ..actor import Actor, Role

LIFETIME: Final = timedelta(seconds=30)
LONGEST: Final = 16 << 10  # characters; somebody may be in many communities
PROOF: Final = "ticket"


class TicketExpired(Exception):
    """It was made here, but its time is over."""


def mint(key: bytes, actor: Actor, now: float) -> tuple[str, float]:
    """A ticket of ``actor`` and when it expires: within ``LIFETIME``, and never after the proof it is made from."""
    expires = now + LIFETIME.total_seconds()
    if actor.expires is not None:
        expires = min(expires, actor.expires)
    claims = {
        "sub": actor.id,
        "name": actor.name,
        "communities": sorted(actor.communities),
        "roles": sorted(actor.roles),
        "curates": sorted(actor.curates),
        "exp": expires,
    }
    said = _encoded(json.dumps(claims, separators=(",", ":")).encode("ascii"))
    return f"{said}.{_signature(key, said)}", expires


def read(key: bytes, ticket: str, now: float) -> Actor | None:
    """Whose ticket this is; None if it was not made with ``key``. Raises ``TicketExpired``."""
    said, dot, signature = ticket.partition(".")
    if not dot or len(ticket) > LONGEST or not ticket.isascii():
        return None
    if not hmac.compare_digest(signature, _signature(key, said)):
        return None
    claims: dict[str, Any] = json.loads(_decoded(said))
    if claims["exp"] <= now:
        raise TicketExpired
    return Actor(
        claims["sub"],
        claims["name"],
        frozenset(claims["communities"]),
        frozenset(map(Role, claims["roles"])),
        PROOF,
        frozenset(claims["curates"]),
        claims["exp"],
    )


def _signature(key: bytes, said: str) -> str:
    return _encoded(hmac.digest(key, said.encode("ascii"), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(word: str) -> bytes:
    return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
