"""The state machine: every arrow, every impossible pair, and where errors lead."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.resources import Cause, FileState
from scigate.gateway_api.transfers import machine
from scigate.gateway_api.transfers.machine import (
    ACTIVE,
    ARROWS,
    FINAL,
    LONGEST_DELAY,
    LONGEST_WISH,
    SOURCE_RESTARTS,
    SPACE_TRIES,
    Failure,
    Impossible,
    Snapshot,
    What,
    advance,
    retry_delay,
)
from scigate.storage_backends.errors import ErrorKind

PAIRS = list(product(FileState, What))
AFTER_FAILURE = {FileState.WAITING, FileState.PAUSED, FileState.FAILED}
NOW = 1000.0


def failure(
    kind: ErrorKind = ErrorKind.TRANSIENT, code: str = "unreachable", retry_after: float | None = None
) -> Failure:
    cause = Cause(code=code, message="It broke.", retriable=kind is not ErrorKind.PERMANENT, next_step="Wait.")
    return Failure(kind, cause, retry_after)


def snapshots(state: FileState) -> st.SearchStrategy[Snapshot]:
    numbers = st.integers(0, 100)
    deadlines = st.one_of(st.just(float("inf")), st.floats(0, 2 * NOW))
    return st.builds(Snapshot, st.just(state), numbers, numbers, numbers, deadlines)


@pytest.mark.parametrize(("state", "what"), [pair for pair in PAIRS if pair not in ARROWS])
def test_what_the_table_does_not_allow_is_impossible(state: FileState, what: What) -> None:
    with pytest.raises(Impossible, match=f"{what} cannot happen to a file that is {state}"):
        advance(Snapshot(state), what, NOW, failure=failure())


@pytest.mark.parametrize(("state", "what"), list(ARROWS))
def test_every_arrow_leads_where_the_table_says(state: FileState, what: What) -> None:
    step = advance(Snapshot(state, staged=True), what, NOW, failure=failure())
    assert step.state is (ARROWS[state, what] or FileState.WAITING)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_but_a_retry_leaves_a_final_state(state: FileState) -> None:
    allowed = {what for of, what in ARROWS if of is state}
    assert allowed == ({What.RETRY, What.CANCEL} if state is FileState.FAILED else set())
    with pytest.raises(Impossible):  # of a failed upload its owner may say that it is not wanted any more
        advance(Snapshot(state), What.CANCEL, NOW)


@pytest.mark.parametrize("state", [FileState.QUEUED, FileState.CLAIMED, FileState.COPYING])
def test_waiting_for_a_sender_is_no_failure_and_keeps_the_draft(state: FileState) -> None:
    step = advance(Snapshot(state, failures=2), What.STARVED, NOW, failure=failure(code="receiving", retry_after=50.0))
    assert (step.state, step.abandon_draft) == (FileState.WAITING, False)
    assert (step.values["next_try"], step.values["adoptable"], step.values["worker"]) == (NOW + 50, True, None)
    assert "failures" not in step.values


@pytest.mark.parametrize("state", [FileState.QUEUED, FileState.WAITING, FileState.PAUSED])
def test_what_is_for_later_is_tried_at_its_time_and_has_not_failed(state: FileState) -> None:
    why = machine.scheduled(NOW + 5000, NOW)
    step = advance(Snapshot(state, failures=1), What.SCHEDULED, NOW, failure=why)
    assert (step.state, step.values["next_try"], step.abandon_draft) == (FileState.WAITING, NOW + 5000, False)
    assert "failures" not in step.values
    assert step.values["cause"].message == "It begins on 1970-01-01 01:40:00 UTC, as its owner wishes."


def test_that_it_is_for_later_is_only_told_while_it_waits() -> None:
    cause, other = machine.scheduled(NOW, NOW).cause, failure().cause
    assert [machine.told(cause, state) for state in FileState if state is not FileState.WAITING] == [None] * 10
    assert machine.told(cause, FileState.WAITING) == cause
    assert machine.told(other, FileState.FAILED) == other


def test_an_upload_that_goes_on_has_no_cause_any_more() -> None:
    assert advance(Snapshot(FileState.WAITING), What.RECEIVED, NOW).values["cause"] is None


def test_every_state_can_be_reached_and_left() -> None:
    reached = {target for target in ARROWS.values() if target} | AFTER_FAILURE | {FileState.QUEUED}
    assert reached == set(FileState)
    assert {state for state, _ in ARROWS} == set(FileState) - {FileState.DONE, FileState.CANCELLED}


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_dead_worker_never_keeps_a_file(state: FileState) -> None:
    target = FileState.CANCELLING if state is FileState.CANCELLING else FileState.QUEUED
    assert advance(Snapshot(state), What.LAPSE, NOW).state is target


@pytest.mark.parametrize("what", [What.CANCEL, What.PAUSE])
def test_what_is_being_published_is_neither_cancelled_nor_paused(what: What) -> None:
    with pytest.raises(Impossible):
        advance(Snapshot(FileState.PUBLISHING), what, NOW)


@given(
    whats=st.lists(st.sampled_from(What), max_size=60),
    kinds=st.sampled_from(ErrorKind),
    code=st.sampled_from(["unreachable", "source-changed"]),
    jitter=st.floats(0, 1),
    staged=st.booleans(),
)
def test_every_history_is_a_path_of_the_table(
    whats: list[What], kinds: ErrorKind, code: str, jitter: float, staged: bool
) -> None:
    state, restarts, failures = FileState.QUEUED, 0, 0
    for what in whats:
        snapshot = Snapshot(state, failures=failures, restarts=restarts, staged=staged)
        try:
            step = advance(snapshot, what, NOW, failure=failure(kinds, code), jitter=lambda: jitter)
        except Impossible:
            assert (state, what) not in ARROWS or (state, what, staged) == (FileState.FAILED, What.CANCEL, False)
            continue
        target = ARROWS[state, what]
        assert step.state is target if target else step.state in AFTER_FAILURE
        assert state not in FINAL or what is What.RETRY or (staged and what is What.CANCEL)
        state = step.state
        restarts, failures = step.values.get("restarts", restarts), step.values.get("failures", failures)
        assert restarts <= SOURCE_RESTARTS


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (ErrorKind.TRANSIENT, FileState.WAITING),
        (ErrorKind.THROTTLED, FileState.WAITING),
        (ErrorKind.INTEGRITY, FileState.WAITING),
        (ErrorKind.SPACE, FileState.WAITING),
        (ErrorKind.CREDENTIAL, FileState.PAUSED),
        (ErrorKind.PERMANENT, FileState.FAILED),
    ],
)
def test_the_class_of_the_error_decides(kind: ErrorKind, state: FileState) -> None:
    step = advance(Snapshot(FileState.COPYING), What.FAILURE, NOW, failure=failure(kind))
    assert step.state is state
    assert step.values["cause"].code == "unreachable"
    assert step.values["worker"] is None
    assert (step.values["next_try"] is None) == (state is not FileState.WAITING)
    assert step.abandon_draft == (state is FileState.FAILED)


def test_a_storage_that_stays_full_pauses_the_file() -> None:
    full = failure(ErrorKind.SPACE, "no-space")
    before = advance(Snapshot(FileState.COPYING, failures=SPACE_TRIES - 1), What.FAILURE, NOW, failure=full)
    after = advance(Snapshot(FileState.COPYING, failures=SPACE_TRIES), What.FAILURE, NOW, failure=full)
    assert (before.state, after.state) == (FileState.WAITING, FileState.PAUSED)


def test_a_source_that_changes_is_begun_anew_once() -> None:
    changed = failure(ErrorKind.PERMANENT, "source-changed")
    first = advance(Snapshot(FileState.COPYING), What.FAILURE, NOW, failure=changed)
    assert first.state is FileState.WAITING
    assert first.abandon_draft
    assert first.values["source_version"] is None
    assert first.values["bytes_done"] == 0
    again = Snapshot(FileState.COPYING, restarts=first.values["restarts"])
    assert advance(again, What.FAILURE, NOW, failure=changed).state is FileState.FAILED


def test_a_file_is_not_tried_beyond_its_deadline() -> None:
    late = Snapshot(FileState.COPYING, deadline=NOW + 0.1)
    step = advance(late, What.FAILURE, NOW, failure=failure(), jitter=lambda: 1.0)
    assert step.state is FileState.FAILED
    assert step.values["finished"] == NOW
    assert not step.values["cause"].retriable, "nobody tries it again, so nothing may say so"
    assert "deadline" in step.values["cause"].next_step


def test_retry_and_resume_forget_the_past() -> None:
    for state, what in ((FileState.FAILED, What.RETRY), (FileState.PAUSED, What.RESUME)):
        values = advance(Snapshot(state, failures=9, restarts=1), what, NOW).values
        assert (values["failures"], values["restarts"], values["cause"]) == (0, 0, None)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_delays_have_full_jitter_below_a_doubling_ceiling(failures: int, jitter: float) -> None:
    ceiling = min(LONGEST_DELAY, machine.FIRST_DELAY * 2 ** min(failures, 20))
    delay = retry_delay(failures, None, lambda: jitter)
    assert machine.FIRST_DELAY / 2 <= delay <= machine.FIRST_DELAY / 2 + ceiling


@given(st.floats(allow_nan=False), st.integers(0, 30))
def test_the_wish_of_a_storage_is_the_least_delay_up_to_an_hour(wish: float, failures: int) -> None:
    delay = retry_delay(failures, wish, lambda: 0.0)
    assert delay >= min(max(wish, 0), LONGEST_WISH)
    assert delay <= max(LONGEST_WISH, machine.FIRST_DELAY / 2 + LONGEST_DELAY)


@given(st.sampled_from(FileState).flatmap(snapshots), st.sampled_from(What), st.floats(0, 1))
def test_the_machine_decides_the_same_again(file: Snapshot, what: What, jitter: float) -> None:
    if (file.state, what) not in ARROWS:
        return
    steps = [advance(file, what, NOW, failure=failure(), jitter=lambda: jitter) for _ in range(2)]
    assert steps[0] == steps[1]
