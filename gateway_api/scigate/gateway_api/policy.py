"""Who may do what. Pure: decides from values, never asks a database or a storage.

Each route declares one ``Rule``; the tests hold every route against every kind of actor. What an actor may not see
answers like what does not exist.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from .actor import Actor
from .problems import Problem, not_found
from .settings import StorageSection

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 §9.2.1)."""


class Rule(StrEnum):
    """What a route asks of its caller."""

    ANYONE = "anyone"  # nothing; only for health checks
    USER = "user"  # to be somebody; they see their own things
    STORAGE_READ = "storage-read"  # one of the users of the storage in the request
    STORAGE_WRITE = "storage-write"  # the same, and the storage is not read-only
    TRANSFER = "transfer"  # the transfer's owner
    UPLOAD = "upload"  # the upload's owner
    WEBHOOK = "webhook"  # the webhook's owner
    ADMIN = "admin"
    PAGE = "page"  # to be signed in at the hub, with a browser; who is not is sent there


def may_use(actor: Actor, storage: StorageSection) -> bool:
    """Whether ``actor`` is among the users of ``storage``; an admin is everywhere."""
    return actor.is_admin or any(_names(subject, actor) for subject in storage.users)


def shared_with(actor: Actor, storage: StorageSection) -> list[str]:
    """The communities of ``actor`` that ``storage`` is shared with, by name; for an admin all that are named."""
    named = {name for kind, colon, name in (subject.partition(":") for subject in storage.users) if colon}
    return sorted(named if actor.is_admin else named.intersection(actor.communities))


def check_storage(actor: Actor, name: str, storage: StorageSection | None, *, write: bool) -> None:
    """Raise a ``Problem`` unless ``actor`` may read, or write, at ``storage`` (None: there is none of this name)."""
    if storage is None or not may_use(actor, storage):
        raise not_found("storage", name)
    check_writable(name, read_only=write and storage.read_only)


def check_writable(name: str, *, read_only: bool) -> None:
    """Raise a ``Problem`` for a storage that is only read."""
    if read_only:
        raise Problem(
            403, "read-only", f"The storage {name!r} is read-only.", next_step="Choose another storage to write to."
        )


def check_admin(actor: Actor) -> None:
    """Raise a ``Problem`` unless ``actor`` is an admin."""
    if not actor.is_admin:
        raise Problem(403, "access-denied", "This is for admins only.", next_step="Ask an admin of this gateway.")


def check_writes(actor: Actor, method: str, *, harmless: bool = False) -> None:
    """Raise a ``Problem`` if this request would change something and ``actor`` may only look.

    ``harmless``: it changes nothing, whatever its method says.
    """
    if not (method in SAFE or harmless or actor.may_write):
        raise Problem(
            403, "access-denied", "You may look here, but not change anything.",
            next_step="Ask an admin for the right to write: at a hub the scope custom:scigate:write, else the role "
                      "'user' in scigate.toml.",
        )  # fmt: skip


def owner_seen(actor: Actor) -> str | None:
    """Whose transfers ``actor`` sees: their own; None for everybody's."""
    return None if actor.is_admin else actor.id


def _names(subject: str, actor: Actor) -> bool:
    kind, colon, community = subject.partition(":")
    if colon:
        return kind == "community" and community in actor.communities
    return subject in ("*", actor.id)
