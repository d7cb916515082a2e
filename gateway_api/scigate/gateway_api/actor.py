"""Who is asking, and how that was proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What an actor may do beyond their own things."""

    READER = "reader"
    """Looks at what is theirs to see, and changes nothing."""
    USER = "user"
    CURATOR = "curator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a program.

    ``proof`` says how the identity was proven: ``token`` of the settings, ``hub``, ``ticket``; it is never a secret.
    ``curates`` are the communities whose data a curator looks after. ``expires``: when the identity has to be proven
    anew, in seconds since 1970; None: it lasts.
    """

    id: str
    name: str
    communities: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset({Role.USER})
    proof: str = "token"
    curates: frozenset[str] = frozenset()
    expires: float | None = field(default=None, compare=False)

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles

    @property
    def may_write(self) -> bool:
        """Whether they may change anything at all; what, other rules say."""
        return Role.USER in self.roles
