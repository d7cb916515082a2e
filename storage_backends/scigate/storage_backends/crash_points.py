"""Named moments at which a crash must do no harm.

The places that change something durable, a row or a file, name the moments before, between and after. Nothing happens
there unless a test has armed a plan, which may kill the process right there. Nothing but code can arm one: no setting
and no environment variable does, so that nobody switches it on where it matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Plan = Callable[[str], None]

_armed: Final[list[Plan]] = []  # one plan at most


def reached(name: str) -> None:
    """The process is at the point ``name``: costs next to nothing, unless a plan is armed."""
    for plan in _armed:
        plan(name)


def is_armed() -> bool:
    """Whether it is worth while to make the name of a point."""
    return bool(_armed)


def arm(plan: Plan | None) -> None:
    """From now on, call ``plan`` with every point reached, in the thread that reaches it; None ends that. For tests."""
    _armed[:] = [] if plan is None else [plan]
