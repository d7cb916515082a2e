"""What can be followed: topics, and types of events. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from ..problems import Problem
from ..resources.events import TOPIC

ALL: Final = "transfers"
"""The topic of all transfers that its follower sees."""

OF_ONE: Final = "transfer:"
MOST: Final = 100
"""Topics, or types, in one request."""

_TOPIC: Final = re.compile(TOPIC)
_TYPE: Final = re.compile(r"scigate\.[a-z.-]{1,60}|scigate\.([a-z-]{1,40}\.)?\*")


def check_topics(topics: Sequence[str]) -> tuple[str, ...]:
    """The topics without what others contain. Raises ``Problem`` 422 for what is no topic."""
    wrong = next((topic for topic in topics if not _TOPIC.fullmatch(topic)), None)
    if wrong is not None or not 0 < len(topics) <= MOST:
        title = f"There are 1 to {MOST} topics." if wrong is None else f"{wrong[:80]!r} is not a topic."
        raise Problem(422, "invalid-topic", title, next_step="Use 'transfers', or 'transfer:' and the id of one.")
    return (ALL,) if ALL in topics else tuple(dict.fromkeys(topics))


def check_types(types: Sequence[str]) -> tuple[str, ...]:
    """The types as given; empty means all. Raises ``Problem`` 422 for what no event can have."""
    wrong = next((kind for kind in types if not _TYPE.fullmatch(kind)), None)
    if wrong is not None or len(types) > MOST:
        title = f"There are at most {MOST} types." if wrong is None else f"{wrong[:80]!r} is not a type of event."
        step = "Use for example 'scigate.transfer.done', or 'scigate.file.*' for all of a kind."
        raise Problem(422, "invalid-type", title, next_step=step)
    return tuple(dict.fromkeys(types))


def transfers_of(topics: Collection[str]) -> list[str]:
    """The ids of the transfers that are named one by one."""
    return [topic.removeprefix(OF_ONE) for topic in topics if topic.startswith(OF_ONE)]


def wants(types: Collection[str], kind: str) -> bool:
    """Whether an event of the type ``kind`` is among ``types``; an entry may end in ``*``."""
    return not types or kind in types or any(kind.startswith(one[:-1]) for one in types if one.endswith("*"))
