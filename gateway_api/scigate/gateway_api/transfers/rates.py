"""How fast an attempt at a large file goes, second by second: what plots are drawn from. In memory, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .expected import Kind

POINTS: Final = 120  # at most: then two and two become one
FIRST_WIDTH: Final = 0.25  # seconds of a point at first
Points: TypeAlias = tuple[tuple[float, float], ...]
"""(seconds since the attempt began, bytes per second from the point before until then), oldest first."""


@dataclass(slots=True)
class Track:
    """One attempt on its way: attempt ``number`` at ``file`` of ``transfer``, begun at ``start`` of the monotonic
    clock. Not thread-safe: ``LiveProgress`` locks."""

    transfer: int
    file: int
    number: int
    source: str
    destination: str
    start: float
    kind: Kind = Kind.LARGE
    done: bool = False
    """Whether the file is DONE with it."""
    moved: int = 0
    _last: float = 0.0  # seconds after the start at which the last byte passed
    _width: float = FIRST_WIDTH
    _until: float = float("-inf")  # so long the last point goes on
    _counts: list[int] = field(default_factory=list)

    def passed(self, length: int, now: float) -> None:
        """So many bytes have passed. Times never go back. Called for every buffer, so it does little within a point."""
        self._last = now - self.start
        self.moved += length
        if now < self._until:
            self._counts[-1] += length
            return
        while (index := int(self._last / self._width)) >= POINTS:
            self._merge()
        self._counts += [0] * (index + 1 - len(self._counts))
        self._counts[index] += length
        self._until = self.start + (index + 1) * self._width

    @property
    def rate(self) -> float | None:
        """Bytes per second from the beginning to the last byte; None if none has passed."""
        return self.moved / max(self._last, 0.001) if self.moved else None

    def points(self) -> Points:
        """What is known so far. The last point is only as long as its bytes took, and a very short one is part of the
        one before it: a few bytes in no time are no rate."""
        ends = [(index + 1) * self._width for index in range(len(self._counts))]
        counts = list(self._counts)
        if ends:
            ends[-1] = self._last
        if len(ends) > 1 and ends[-1] - ends[-2] < self._width / 2:
            ends[-2:], counts[-2:] = ends[-1:], [sum(counts[-2:])]
        begins = [0.0, *ends]
        return tuple(
            (round(end, 3), round(count / max(end - begin, 0.001), 1))
            for begin, end, count in zip(begins, ends, counts, strict=False)
        )

    def _merge(self) -> None:
        """Two and two points become one."""
        self._counts += [0] * (len(self._counts) % 2)
        self._counts = [sum(pair) for pair in zip(self._counts[::2], self._counts[1::2], strict=True)]
        self._width *= 2
