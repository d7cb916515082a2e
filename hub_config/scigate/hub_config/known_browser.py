"""A cookie in browsers that have signed in as a user: it proves nothing but that, and lets nobody in."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

COOKIE: Final = "scigate-known-browser"
DAYS: Final = 180


def known_browser(handler: Any, name: str) -> str | None:
    """What tells this browser from others, if the user has signed in with it, and nobody else since."""
    value = handler.get_signed_cookie(COOKIE, max_age_days=DAYS) if handler else None
    if value is None:
        return None
    user, _, browser = value.decode().partition(":")
    return browser if user == _digest(name) else None


def remember_browser(handler: Any, name: str) -> None:
    """Have the browser show next time that this user has signed in with it; signed with the hub's cookie secret."""
    if handler is None:
        return
    browser = known_browser(handler, name) or secrets.token_hex(16)
    handler.set_signed_cookie(
        COOKIE, f"{_digest(name)}:{browser}", expires_days=DAYS, path=handler.hub.base_url, httponly=True,
        samesite="Lax", secure=handler.request.protocol == "https",
    )  # fmt: skip


def _digest(name: str) -> str:
    """Of one length, and without what a cookie could not hold."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
