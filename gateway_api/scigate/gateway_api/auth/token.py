"""Bearer tokens (RFC 6750), and those of the settings, kept and compared as SHA-256 only."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256

from ..actor import Actor, Role
from ..problems import Problem
from ..settings import UserSection, token_hash


class TokenUsers:
    """Knows the users of the settings by the hashes of their tokens."""

    def __init__(self, users: Mapping[str, UserSection]) -> None:
        self._known = [(token_hash(user), _actor(name, user)) for name, user in users.items()]

    def actor(self, token: str) -> Actor | None:
        """Whose token this is; None: nobody's."""
        digest, found = sha256(token.encode("latin-1", "replace")).hexdigest(), None
        for known, actor in self._known:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = actor
        return found

    def named(self, name: str) -> Actor | None:
        """The user of this name, who has proven it in another way."""
        return next((actor for _, actor in self._known if actor.id == name), None)


def token_in(authorization: str | None, *, browser: bool = False) -> str | None:
    """The token in this ``Authorization`` header, behind ``Bearer`` or, as hubs write it, ``token``.

    ``browser``: it may also come as the password of Basic authentication (RFC 7617), which is what a browser can ask
    for. Only for pages that change nothing: a browser sends it to us from foreign pages too.
    """
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip() or None
    if browser and scheme.lower() == "basic":
        return _password(value.strip())
    return None


def unauthorized(title: str) -> Problem:
    """The caller has not proven who they are."""
    return Problem(
        401, "unauthorized", title, next_step="Send 'Authorization: Bearer <token>' with the token of your user."
    )


def _actor(name: str, user: UserSection) -> Actor:
    """Whoever is not said to be a reader may write."""
    roles = frozenset(user.roles) if Role.READER in user.roles else frozenset({*user.roles, Role.USER})
    communities = frozenset(user.communities)
    return Actor(name, name, communities, roles, curates=communities if Role.CURATOR in roles else frozenset())


def _password(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2].decode("latin-1") or None
    except (binascii.Error, ValueError):
        return None
