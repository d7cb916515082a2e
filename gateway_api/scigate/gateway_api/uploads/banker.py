"""Who can still be completed with the room that is left: the banker's algorithm (Dijkstra, EWD 108). No I/O.

Senders that together fill the room before any of them is done would wait for each other for ever. So room is only given
while there is an order in which they can all be completed, each of them giving back what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes that one upload ``held`` of the room, and that it will ``need`` beyond them until it is complete.
    ``returns``: its bytes come free then, as it moves on to its storage; a part that others are missing for does not.
    """

    held: int
    need: int
    returns: bool = True


def completable(free: int, claims: Mapping[str, Claim]) -> set[str]:
    """Those that can be completed one after the other, in the order of what they need. O(n log n).

    What returns bytes goes first: it only makes more possible. If one of them does not fit, none that needs more does.
    """
    found: set[str] = set()
    for name in sorted(claims, key=lambda name: (not claims[name].returns, claims[name].need)):
        claim = claims[name]
        if claim.need <= free:
            free += claim.held if claim.returns else -claim.need
            found.add(name)
    return found


def is_safe(free: int, claims: Mapping[str, Claim], name: str, count: int) -> bool:
    """Whether ``name`` may take ``count`` of the ``free`` bytes: it can be completed then, and so can everybody who
    could be before. Who cannot be completed now, whoever waits, does not keep others from it."""
    own = claims[name]
    if count > free:
        return False
    if sum(claim.need for claim in claims.values()) + count <= free:
        return True  # all of them at once
    given = replace(own, held=own.held + count, need=max(own.need - count, 0))
    after = completable(free - count, {**claims, name: given})
    return name in after and completable(free, claims) <= after
