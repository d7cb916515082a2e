"""What a busy S3 does to requests that are right, by a fixed count, or by chance at that rate."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum, auto
from itertools import cycle, islice

from .strict_s3_request import WRITING


class Mood(StrEnum):
    FINE = auto()
    SLOW_DOWN = auto()  # 503 before anything is done
    LOST = auto()  # 500 after it has been done
    ERROR_IN_200 = auto()  # nothing done, and the error comes after a head of status 200
    CONFLICT = auto()  # 409 ConditionalRequestConflict: somebody else is writing there


@dataclass
class Weather:
    """Every n-th request of the kinds that a mood is about gets it; 0 is never. May be changed at any time.

    ``slow_down_every``: any request; ``retry_after`` are what those answers say, in turn, None is nothing.
    ``lost_every``: writing ones. ``error_in_200_every``: completing an upload, and copies.
    ``conflict_every``: writes with a condition; of an upload that was to be completed nothing is left.
    ``close_every``: the connection is closed after the answer, without saying so. ``bare_xml``: documents come
    without Content-Type. ``only`` names the operations that are meant.
    ``seed``: not every n-th, but one in n by chance: who tries again in a fixed rhythm would meet a count for ever.
    """

    slow_down_every: int = 0
    retry_after: tuple[str | None, ...] = (None,)
    lost_every: int = 0
    error_in_200_every: int = 0
    conflict_every: int = 0
    close_every: int = 0
    bare_xml: bool = False
    only: frozenset[str] = frozenset()
    seed: int | None = None
    met: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter, repr=False)
    _chance: random.Random = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def mood(self, operation: str, *, conditional: bool = False) -> Mood:
        """What happens to the next request."""
        if self.only and operation not in self.only:
            return Mood.FINE
        with self._lock:
            found = self._mood(operation, conditional)
            self.met[found] += 1
            return found

    def _mood(self, operation: str, conditional: bool) -> Mood:
        if self._due("slow", self.slow_down_every):
            return Mood.SLOW_DOWN
        if operation in WRITING and conditional and self._due("conflict", self.conflict_every):
            return Mood.CONFLICT
        if operation in WRITING and self._due("lost", self.lost_every):
            return Mood.LOST
        if operation in _LONG and self._due("in 200", self.error_in_200_every):
            return Mood.ERROR_IN_200
        return Mood.FINE

    def closes(self) -> bool:
        """Whether the connection is closed after this answer."""
        with self._lock:
            return self._due("close", self.close_every)

    def wish(self) -> str | None:
        """What the next SlowDown says in ``Retry-After``."""
        count = self.met[Mood.SLOW_DOWN]
        return next(islice(cycle(self.retry_after), count % len(self.retry_after), None))

    def _due(self, what: str, every: int) -> bool:
        if not every:
            return False
        if self.seed is not None:
            return self._chance.random() * every < 1
        self._asked[what] += 1
        return self._asked[what] % every == 0


_LONG = frozenset({"CompleteMultipartUpload", "CopyObject", "UploadPartCopy"})
