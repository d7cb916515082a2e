"""The state machine of a file: events in, new state and commands out; no I/O.

The table ``ARROWS`` is the whole machine and its documentation. Every state of a file that is ever written to the
database comes out of ``advance``; what the table does not allow raises ``Impossible``.

    QUEUED → CLAIMED → COPYING → VERIFYING → PUBLISHING → DONE
    sideways: WAITING (tried again by itself), PAUSED (a person or a credential is needed), FAILED,
              CANCELLING → CANCELLED
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from scigate.storage_backends.errors import ErrorKind

from ..resources import Cause, FileState

FIRST_DELAY: Final = 1.0  # seconds before the first retry; doubled each time, with full jitter
LONGEST_DELAY: Final = 600.0
LONGEST_WISH: Final = 3600.0  # the longest Retry-After that is honoured
SOURCE_RESTARTS: Final = 1  # how often a source may change under us before the file fails
SPACE_TRIES: Final = 20  # a storage that stays full this many tries in a row pauses the file

WAITS: Final = Cause(
    code="receiving", message="SciGate waits for the sender.", retriable=True,
    next_step="Send the rest: with scigate, give the same 'scigate put' again.",
)  # fmt: skip
"""Of a file whose source is an upload that is still received."""

SCHEDULED: Final = "scheduled"
"""The code of the cause of what begins later."""

ACTIVE: Final = frozenset({FileState.CLAIMED, FileState.COPYING, FileState.VERIFYING, FileState.PUBLISHING,
                           FileState.CANCELLING})  # fmt: skip
"""States in which a worker owns the file."""
FINAL: Final = frozenset({FileState.DONE, FileState.FAILED, FileState.CANCELLED})


class What(StrEnum):
    """The things that can happen to a file."""

    CLAIM = "claim"  # a worker takes it: the epoch rises
    START = "start"  # the first byte may move
    COPIED = "copied"  # every block is at the destination's draft
    DAMAGED = "damaged"  # verification found bad blocks: those are sent again
    VERIFIED = "verified"  # the draft holds what the source holds
    PUBLISHED = "published"  # it has its final name
    STORED = "stored"  # a small object was put at once: copied, proven and published in one request
    RECOVERED = "recovered"  # a crash hid that it had been published already
    SKIPPED = "skipped"  # the policy says that nothing is to be done
    FAILURE = "failure"  # something went wrong; see Failure
    RECEIVED = "received"  # of an upload enough is here to move it on, or all
    STARVED = "starved"  # the bytes that are needed now have not come from the sender yet
    SCHEDULED = "scheduled"  # its owner wants it to begin later
    EXPIRED = "expired"  # the sender did not come back in time
    RELEASE = "release"  # the gateway stops, or another way is needed: back to the queue
    LAPSE = "lapse"  # the worker's lease ran out
    WAKE = "wake"  # the time of the next try has come
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    CANCEL = "cancel"
    CLEANED = "cleaned"  # nothing of a cancelled file is left at the destination


S, W = FileState, What
_OWNED = (S.CLAIMED, S.COPYING, S.VERIFYING)

ARROWS: Final[Mapping[tuple[FileState, What], FileState | None]] = {
    (S.QUEUED, W.CLAIM): S.CLAIMED,
    (S.CLAIMED, W.START): S.COPYING,
    (S.CLAIMED, W.SKIPPED): S.DONE,
    (S.CLAIMED, W.RECOVERED): S.DONE,
    (S.COPYING, W.STORED): S.DONE,
    (S.COPYING, W.COPIED): S.VERIFYING,
    (S.COPYING, W.SKIPPED): S.DONE,
    (S.VERIFYING, W.DAMAGED): S.COPYING,
    (S.VERIFYING, W.VERIFIED): S.PUBLISHING,
    (S.PUBLISHING, W.PUBLISHED): S.DONE,
    (S.PUBLISHING, W.DAMAGED): S.COPYING,
    # what goes wrong: WAITING, PAUSED or FAILED, decided by the class of the error
    (S.QUEUED, W.FAILURE): None,
    (S.WAITING, W.FAILURE): None,
    (S.PUBLISHING, W.FAILURE): None,
    **{(state, W.FAILURE): None for state in _OWNED},
    # uploads, whose source grows while it is copied; until then they wait, from their first line on
    (S.WAITING, W.RECEIVED): S.QUEUED,
    **{(state, W.STARVED): S.WAITING for state in (S.QUEUED, S.CLAIMED, S.COPYING)},
    **{(state, W.EXPIRED): S.FAILED for state in (S.QUEUED, S.WAITING, S.PAUSED, S.CLAIMED, S.COPYING)},
    # transfers that begin later
    **{(state, W.SCHEDULED): S.WAITING for state in (S.QUEUED, S.WAITING, S.PAUSED)},
    (S.FAILED, W.CANCEL): S.CANCELLED,  # of uploads only: their bytes are kept for a retry, until nobody wants them
    # giving a file back
    (S.PUBLISHING, W.RELEASE): S.QUEUED,
    (S.PUBLISHING, W.LAPSE): S.QUEUED,
    (S.CANCELLING, W.LAPSE): S.CANCELLING,
    **{(state, W.RELEASE): S.QUEUED for state in _OWNED},
    **{(state, W.LAPSE): S.QUEUED for state in _OWNED},
    (S.WAITING, W.WAKE): S.QUEUED,
    # what people ask for; PUBLISHING is missing on purpose: what is being published becomes DONE
    (S.QUEUED, W.PAUSE): S.PAUSED,
    (S.WAITING, W.PAUSE): S.PAUSED,
    **{(state, W.PAUSE): S.PAUSED for state in _OWNED},
    (S.PAUSED, W.RESUME): S.QUEUED,
    (S.WAITING, W.RESUME): S.QUEUED,
    (S.FAILED, W.RETRY): S.QUEUED,
    (S.QUEUED, W.CANCEL): S.CANCELLED,
    (S.WAITING, W.CANCEL): S.CANCELLED,
    (S.PAUSED, W.CANCEL): S.CANCELLED,
    **{(state, W.CANCEL): S.CANCELLING for state in _OWNED},
    (S.CANCELLING, W.CLEANED): S.CANCELLED,
    (S.CANCELLING, W.STORED): S.DONE,  # the wish came while the storage was at it: what is there is told
}


class Impossible(Exception):
    """The table has no such arrow: a bug, or a state that has moved on meanwhile."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ``advance`` needs to know of a file."""

    state: FileState
    epoch: int = 0
    failures: int = 0
    restarts: int = 0
    deadline: float = float("inf")
    staged: bool = False  # its source is an upload


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended; ``retry_after`` in seconds is the storage's own wish, or how long a sender has."""

    kind: ErrorKind
    cause: Cause
    retry_after: float | None = None
    untouched: bool = False
    """The storage refused before anything began: there is nothing of this attempt to be looked for."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where the file goes: its new state, the columns that change with it, and whether its draft must go."""

    state: FileState
    values: Mapping[str, Any]
    abandon_draft: bool = False


def advance(
    file: Snapshot,
    what: What,
    now: float,
    *,
    failure: Failure | None = None,
    jitter: Callable[[], float] = random.random,
) -> Step:
    """The step that ``what`` causes. ``failure`` belongs to ``FAILURE``, ``STARVED``, ``SCHEDULED`` and ``EXPIRED``;
    ``jitter`` gives 0 to 1.

    Raises ``Impossible`` if the table has no arrow from here.
    """
    if (file.state, what) not in ARROWS or ((file.state, what) == (S.FAILED, W.CANCEL) and not file.staged):
        raise Impossible(f"{what} cannot happen to a file that is {file.state}")
    target = ARROWS[file.state, what]
    if what in (W.STARVED, W.SCHEDULED):
        assert failure is not None, "who waits says what for"
        return _await(failure, now)
    if what is W.EXPIRED:
        assert failure is not None, "a failure says why"
        return _stop(S.FAILED, failure, now)
    if target is None:
        assert failure is not None, "a failure says why"
        return _fail(file, failure, now, jitter)
    return Step(target, _values(target, what, now), abandon_draft=target is S.CANCELLED)


def _values(target: FileState, what: What, now: float) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if target in FINAL:
        values |= {"finished": now, "worker": None, "next_try": None}
    if target in (S.QUEUED, S.PAUSED):
        values |= {"worker": None, "next_try": None}
    if what is W.RECEIVED:
        values |= {"cause": None}
    if what in (W.RETRY, W.RESUME):
        values |= {"failures": 0, "restarts": 0, "cause": None, "finished": None}
    if target is S.DONE:
        values |= {"cause": None}
    return values


def _fail(file: Snapshot, failure: Failure, now: float, jitter: Callable[[], float]) -> Step:
    if failure.cause.code == "source-changed" and file.restarts < SOURCE_RESTARTS:
        again = {"restarts": file.restarts + 1, "source_version": None, "size": None, "bytes_done": 0}
        return _wait(file, failure, now, FIRST_DELAY, again, abandon_draft=True)
    if failure.kind is ErrorKind.PERMANENT:
        return _stop(S.FAILED, failure, now)
    if failure.kind is ErrorKind.CREDENTIAL or (failure.kind is ErrorKind.SPACE and file.failures >= SPACE_TRIES):
        return _stop(S.PAUSED, failure, now)
    delay = retry_delay(file.failures, failure.retry_after, jitter)
    if now + delay > file.deadline:
        return _stop(S.FAILED, replace(failure, cause=too_late(failure.cause)), now)
    return _wait(file, failure, now, delay, {})


def _await(failure: Failure, now: float) -> Step:
    """Nothing has failed. What is at the destination's draft stays: the next attempt goes on with it."""
    values = {"cause": failure.cause, "next_try": now + (failure.retry_after or LONGEST_DELAY), "worker": None}
    return Step(S.WAITING, {**values, "adoptable": True})


def scheduled(starts: float, now: float) -> Failure:
    """Why a file of a transfer does not move that begins at ``starts``, both in seconds since 1970."""
    begins = f"{datetime.fromtimestamp(starts, UTC):%Y-%m-%d %H:%M:%S} UTC"
    cause = Cause(
        code=SCHEDULED, message=f"It begins on {begins}, as its owner wishes.", retriable=True,
        next_step="Nothing to do. To begin sooner, cancel it and submit it again.",
    )  # fmt: skip
    return Failure(ErrorKind.TRANSIENT, cause, max(starts - now, 0.001))


def told(cause: Cause | None, state: FileState) -> Cause | None:
    """A recorded cause as it is shown: that a file waits for its time is only true while it waits."""
    return None if cause is not None and cause.code == SCHEDULED and state is not S.WAITING else cause


def too_late(cause: Cause) -> Cause:
    """The cause of what would be tried again if there were time."""
    step = "The deadline of the transfer has come: submit it again, with a later one."
    return cause.model_copy(update={"retriable": False, "next_step": step})


def retry_delay(failures: int, wish: float | None, jitter: Callable[[], float] = random.random) -> float:
    """Seconds until the next try: full jitter below a doubling ceiling, and no less than the storage's own wish (an
    hour at most)."""
    ceiling: float = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 20))
    return max(min(max(wish or 0.0, 0.0), LONGEST_WISH), FIRST_DELAY / 2 + jitter() * ceiling)


def _wait(
    file: Snapshot, failure: Failure, now: float, delay: float, extra: Mapping[str, Any], *, abandon_draft: bool = False
) -> Step:
    values = {"cause": failure.cause, "failures": file.failures + 1, "next_try": now + delay, "worker": None, **extra}
    return Step(S.WAITING, values, abandon_draft)


def _stop(state: FileState, failure: Failure, now: float) -> Step:
    values: dict[str, Any] = {"cause": failure.cause, "failures": 0, "worker": None,
                              "next_try": None}  # fmt: skip
    if state is S.FAILED:
        values["finished"] = now
    return Step(state, values, abandon_draft=state is S.FAILED)
