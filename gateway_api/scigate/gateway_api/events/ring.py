"""The newest lines of the journal in memory, found by who follows them. Pure; not thread-safe."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final

from .journal import Line, Scan
from .topics import ALL, OF_ONE, wants

KEPT: Final = 10_000
"""Lines kept."""
WEIGHT: Final = 16 << 20
"""Bytes kept, roughly."""
LOOKED_AT: Final = 2_000
"""Lines that one call looks at."""

EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Interest:
    """What a follower wants: ``topics`` of what ``owner`` sees (None: everybody's), and of these some ``types``."""

    owner: str | None
    topics: tuple[str, ...]
    types: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Under which keys its lines are found; no line is under two of them."""
        return tuple(key_of(topic, self.owner) for topic in self.topics)


def key_of(topic: str, owner: str | None) -> str:
    """The key of a topic as ``owner`` sees it."""
    if topic != ALL:
        return topic
    return EVERYTHING if owner is None else f"owner:{owner}"


def keys_of(line: Line) -> tuple[str, str, str]:
    """All keys under which a line is found."""
    return EVERYTHING, f"owner:{line.owner}", OF_ONE + line.transfer


class Ring:
    """Lines behind the id ``floor``, up to ``head``."""

    def __init__(self, floor: int, *, kept: int = KEPT, weight: int = WEIGHT) -> None:
        self.floor = self.head = floor
        self._kept, self._most = kept, weight
        self._lines: deque[Line] = deque()
        self._weight = 0
        self._windows: dict[str, _Window] = {}

    def add(self, line: Line) -> None:
        """Take the next line; the oldest are forgotten when there are too many."""
        self._lines.append(line)
        self._weight += line.weight
        for key in keys_of(line):
            self._windows.setdefault(key, _Window()).lines.append(line)
        self.head = line.id
        while len(self._lines) > self._kept or self._weight > self._most:
            self._drop()

    def take(self, interest: Interest, after: int, most: int) -> Scan | None:
        """The next lines behind ``after``, at most ``most``; None if they are not in memory any more."""
        if after < self.floor:
            return None
        found: list[Line] = []
        windows = [self._windows[key].behind(after) for key in interest.keys if key in self._windows]
        lines = windows[0] if len(windows) == 1 else merge(*windows, key=_id)
        for looked_at, line in enumerate(lines, 1):
            if wants(interest.types, line.type):
                found.append(line)
            if len(found) == most or looked_at == LOOKED_AT:
                return Scan(found, line.id, end=line.id >= self.head)
        return Scan(found, max(after, self.head), end=True)

    def _drop(self) -> None:
        line = self._lines.popleft()
        self._weight -= line.weight
        self.floor = line.id
        for key in keys_of(line):
            if self._windows[key].drop():
                del self._windows[key]


class _Window:
    """The lines of one key."""

    __slots__ = ("lines", "start")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.start = 0

    def behind(self, after: int) -> Iterator[Line]:
        first = bisect_right(self.lines, after, lo=self.start, key=_id)
        return (self.lines[number] for number in range(first, len(self.lines)))

    def drop(self) -> bool:
        """Forget the oldest; says whether none is left."""
        self.start += 1
        if self.start > 100 and self.start * 2 > len(self.lines):
            del self.lines[: self.start]
            self.start = 0
        return self.start == len(self.lines)


def _id(line: Line) -> int:
    return line.id
