"""Bearer tokens of the settings (RFC 6750), kept and compared as SHA-256 only."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256

from ..actor import Actor
from ..problems import Problem
from ..settings import UserSection, token_hash


class TokenAuthenticator:
    """Knows the users of the settings by the hashes of their tokens."""

    def __init__(self, users: Mapping[str, UserSection]) -> None:
        self._known = [(token_hash(user), _actor(name, user)) for name, user in users.items()]

    def actor(self, authorization: str | None, *, browser: bool = False) -> Actor:
        """Who sent this ``Authorization`` header; a ``Problem`` 401 for nobody.

        ``browser``: the token may also come as the password of Basic authentication (RFC 7617), which is what a
        browser can ask for. Only for pages that change nothing: a browser sends it to us from foreign pages too.
        """
        token = _token(authorization, browser)
        if token is None:
            raise unauthorized("There is no bearer token in this request.")
        found = self._lookup(sha256(token).hexdigest())
        if found is None:
            raise unauthorized("This token is not known here.")
        return found

    def named(self, name: str) -> Actor | None:
        """The user of this name, who has proven it in another way."""
        return next((actor for _, actor in self._known if actor.id == name), None)

    def _lookup(self, digest: str) -> Actor | None:
        found = None
        for known, actor in self._known:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = actor
        return found


def unauthorized(title: str) -> Problem:
    """The caller has not proven who they are."""
    return Problem(
        401, "unauthorized", title, next_step="Send 'Authorization: Bearer <token>' with the token of your user."
    )


def _actor(name: str, user: UserSection) -> Actor:
    return Actor(name, name, frozenset(user.communities), frozenset(user.roles))


def _token(authorization: str | None, browser: bool) -> bytes | None:
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1", "replace") or None
    if browser and scheme.lower() == "basic":
        return _password(value.strip())
    return None


def _password(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2] or None
    except (binascii.Error, ValueError):
        return None
