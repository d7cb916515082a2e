"""Who is asking, and how that was proven."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an actor may do beyond their own things."""

    USER = "user"
    CURATOR = "curator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a program. ``proof`` says how the identity was proven, e.g. ``token``; it is never a secret."""

    id: str
    name: str
    communities: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset({Role.USER})
    proof: str = "token"

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles
