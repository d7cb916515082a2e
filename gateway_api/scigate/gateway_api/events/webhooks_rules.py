"""How webhooks are delivered, as decisions: what an answer means, when to try again, whose turn it is. No I/O."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scigate.storage_backends.dates import http_date
from scigate.storage_backends.errors import ErrorKind, StorageError

from ..resources import Cause

WISH_MOST: Final = timedelta(days=1)  # a receiver's Retry-After counts up to here
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Retries:
    """When a failed delivery is tried again: full jitter below a bound that doubles from ``first`` to ``longest``."""

    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(hours=1)
    give_up: timedelta = timedelta(days=3)
    """A webhook that failed for so long is disabled."""

    def delay(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """Seconds until the next try, after ``failures`` in a row."""
        bound = min(self.longest.total_seconds(), self.first.total_seconds() * 2.0 ** min(failures - 1, 40))
        return bound * jitter()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that failed. ``wish``: seconds that the receiver asks for. ``final``: it wants no more at all."""

    cause: Cause
    wish: float = 0.0
    final: bool = False


def refusal_of(status: int, retry_after: str | None, now: datetime) -> Refusal | None:
    """What the status of an answer means; None: the event is accepted (any 2xx)."""
    if 200 <= status < 300:
        return None
    if status == GONE:
        step = "Delete the webhook, or enable it again once its receiver is back."
        return Refusal(_cause("receiver-gone", "The receiver says that it is gone for good (410).", step), final=True)
    if 300 <= status < 400:
        step = "Make a webhook with the URL that it leads to."
        return Refusal(_cause("receiver-redirects", f"The receiver redirects ({status}); that is not followed.", step))
    text = f"The receiver answered with status {status}."
    step = "Look at the log of the receiver; it has to answer with 2xx within 15 seconds."
    return Refusal(_cause("receiver-refused", text, step), _wish(retry_after, now))


def refusal_by(error: StorageError) -> Refusal:
    """The same when no answer came, or the gateway may not connect there."""
    unanswered = error.kind in (ErrorKind.TRANSIENT, ErrorKind.THROTTLED, ErrorKind.INTEGRITY)
    step = "Check that the receiver runs and can be reached from the gateway." if unanswered else error.next_step
    return Refusal(_cause("receiver-unreachable" if unanswered else error.code, error.message, step))


def given_up(cause: Cause) -> Cause:
    """Why a webhook is disabled after days of failures: the last one, and what to do."""
    step = f"{cause.next_step} Then enable the webhook: POST …/enable; what it missed is delivered."
    return cause.model_copy(update={"retriable": False, "next_step": step})


def _cause(code: str, message: str, next_step: str) -> Cause:
    return Cause(code=code, message=message, retriable=code != "receiver-gone", next_step=next_step)


def _wish(value: str | None, now: datetime) -> float:
    """Retry-After in seconds (RFC 9110 section 10.2.3), at most ``WISH_MOST``; 0 if it says nothing that is sound."""
    if value is None:
        return 0.0
    most = WISH_MOST.total_seconds()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), most)
    until = http_date(value)
    return 0.0 if until is None else min(max(0.0, (until - now).total_seconds()), most)


@dataclass(frozen=True, slots=True)
class Turns:
    """How many deliveries run at once: in all, for one owner, and to receivers that failed before.

    So slow receivers of one owner, and dead ones of everybody, always leave threads to the others.
    """

    total: int = 16
    per_owner: int = 4
    failing: int = 6
    failing_per_owner: int = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A webhook that is due, or is being delivered: whose it is, whether it failed before, since when it waits."""

    seq: int
    owner: str
    failing: bool
    waits_since: float = 0.0


def choose(due: Iterable[Candidate], running: Iterable[Candidate], turns: Turns) -> list[Candidate]:
    """Whose turn it is now: who has waited longest first, sound receivers before failing ones, fair among owners."""
    busy = Load(turns)
    for one in running:
        busy.take(one)
    order = sorted(due, key=lambda one: (one.failing, busy.of(one.owner), one.waits_since, one.seq))
    chosen = []
    for one in order:
        if busy.has_room(one):
            busy.take(one)
            chosen.append(one)
    return chosen


class Load:
    """What runs, counted."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._total, self._failing = turns, 0, 0
        self._owners: Counter[str] = Counter()
        self._failing_owners: Counter[str] = Counter()

    def of(self, owner: str) -> int:
        return self._owners[owner]

    def has_room(self, one: Candidate) -> bool:
        turns = self._turns
        if self._total >= turns.total or self._owners[one.owner] >= turns.per_owner:
            return False
        failing_fits = self._failing < turns.failing and self._failing_owners[one.owner] < turns.failing_per_owner
        return failing_fits or not one.failing

    def take(self, one: Candidate) -> None:
        self._total += 1
        self._owners[one.owner] += 1
        self._failing += one.failing
        self._failing_owners[one.owner] += one.failing
