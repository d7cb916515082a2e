"""Who a user of the hub is here: the hub's model of a user (its REST API, ``GET /user``) as an actor. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..actor import Actor, Role
from ..problems import Problem

PREFIX: Final = "custom:scigate:"
SERVICE: Final = "service:"
"""Begins the id of a program that is a service of the hub, so that it is not taken for a user of that name."""
LONGEST_NAME: Final = 200  # characters; as much as the database keeps


def actor_of(model: Mapping[str, Any], service: str, expires: float) -> Actor:
    """Whom the hub says that a token belongs to, with the rights that its scopes give at this ``service``.

    ``expires``: until when the hub's answer counts. ``Problem`` 403 if the token does not open this service, or gives
    no right in it, or for a name that cannot be recorded.
    """
    scopes = frozenset(map(str, model.get("scopes") or ()))
    id = _id(model)
    if not scopes & {"access:services", f"access:services!service={service}"}:
        raise _refused(
            f"The token of {id!r} is not meant for the service {service!r}.",
            f"Use a token with the scope access:services!service={service}.",
        )
    communities = frozenset(map(str, model.get("groups") or ()))
    curates = frozenset(_curated(scopes, communities))
    roles = frozenset(_roles(scopes, str(model["name"]), bool(curates)))
    if not roles:
        raise _refused(
            f"{id!r} has no right at this gateway.",
            f"Ask an admin of the hub for a role with the scope {PREFIX}write, or {PREFIX}read to look.",
        )
    return Actor(id, id, communities, roles, "hub", curates, expires)


def _id(model: Mapping[str, Any]) -> str:
    name = str(model["name"])
    is_service = model.get("kind") == "service"
    sound = 0 < len(name) <= LONGEST_NAME - len(SERVICE) and name.isprintable() and not name.startswith(SERVICE)
    if not sound:
        raise _refused("The name of this user of the hub cannot be recorded here.", "Ask an admin of the hub.")
    return SERVICE + name if is_service else name


def _roles(scopes: frozenset[str], name: str, is_curator: bool) -> Iterator[Role]:
    """A right that is filtered to others than the user themselves is none."""
    held = {
        right
        for right in ("read", "write", "admin")
        if not _filters(scopes, right).isdisjoint(("", "user", f"user={name}"))
    }
    if held or is_curator:
        yield Role.READER
    if "write" in held:
        yield Role.USER
    if "admin" in held:
        yield Role.ADMIN
    if is_curator:
        yield Role.CURATOR


def _curated(scopes: frozenset[str], communities: frozenset[str]) -> Iterator[str]:
    """The groups that the right is filtered to; unfiltered, it is for all communities of the user."""
    for only in _filters(scopes, "curate"):
        yield from communities if only == "" else [only.removeprefix("group=")] if only.startswith("group=") else []


def _filters(scopes: frozenset[str], right: str) -> frozenset[str]:
    """What the right is limited to in each scope that gives it; '' where it is not."""
    split = (scope.partition("!") for scope in scopes)
    return frozenset(only for name, _, only in split if name == PREFIX + right)


def _refused(title: str, next_step: str) -> Problem:
    return Problem(403, "access-denied", title, next_step=next_step)
