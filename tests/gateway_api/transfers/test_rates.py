"""How fast attempts go: points for a plot, kept when an attempt ends, and what they make one expect of the next."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.db.schema import attempt
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers import rates_kept
from scigate.gateway_api.transfers.expected import (
    KEPT,
    LATELY,
    Candidate,
    ExpectedRates,
    Kind,
    Measured,
    nearest,
)
from scigate.gateway_api.transfers.rates import POINTS, Track
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import Unreachable
from scigate.storage_backends.layers import Fault
from sqlalchemy import func, select

Lab = Any  # from conftest.py


def track(start: float = 100.0) -> Track:
    return Track(1, 2, 1, "lab", "out", start)


def test_a_steady_rate_is_a_flat_line() -> None:
    one = track()
    for step in range(1, 101):
        one.passed(1000, 100 + step / 100)
    assert one.rate == pytest.approx(100_000)
    assert [when for when, _ in one.points()] == [0.25, 0.5, 0.75, 1.0]
    assert [rate for _, rate in one.points()] == pytest.approx([100_000] * 4, rel=0.05)


def test_a_pause_is_seen() -> None:
    one = track()
    one.passed(1000, 100.1)
    one.passed(1000, 101.1)
    assert [rate for _, rate in one.points()][1:-1] == [0, 0]


def test_a_few_bytes_at_the_beginning_of_a_point_are_no_peak() -> None:
    one = track()
    one.passed(25_000, 100.2)
    one.passed(100, 100.2501)
    assert one.points() == ((0.25, pytest.approx(100_000, rel=0.02)),)


def test_nothing_moved_is_no_rate() -> None:
    assert (track().rate, track().points()) == (None, ())


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(MiB, 1 << 30)), min_size=1, max_size=200))
def test_however_long_it_takes_the_points_are_few_and_hold_every_byte(passed: list[tuple[float, int]]) -> None:
    one, now = track(), 100.0
    for pause, length in passed:
        now += pause
        one.passed(length, now)
    found = one.points()
    assert 1 <= len(found) <= POINTS
    ends = [0.0, *(end for end, _ in found)]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(now - 100, abs=0.002)
    if now - 100 > 1:  # in less time the milliseconds of the points are too coarse
        total = sum(rate * (end - begin) for (end, rate), begin in zip(found, ends, strict=False))
        assert total == pytest.approx(one.moved, rel=0.05)


def measured(rate: float, kind: Kind = Kind.LARGE, source: str = "lab", ended: float = 1000.0) -> Measured:
    return Measured(source, "out", kind, rate, ended)


def expected(*those: Measured, now: float = 1000.0) -> ExpectedRates:
    made = ExpectedRates(clock=lambda: now)
    made.add(*those)
    return made


def test_the_median_is_expected() -> None:
    found = expected(*map(measured, (1.0, 2.0, 90.0)), measured(50.0, source="web"))
    assert (found.between("lab", "out"), found.between("web", "out"), found.to("out")) == (2.0, 50.0, 26.0)
    assert found.between("elsewhere", "out") == 26.0, "what is known of the destination"
    assert (found.between("lab", "nowhere"), found.to("lab")) == (None, None)


def test_large_files_tell_most_then_senders_then_small_ones() -> None:
    those = [measured(1.0, Kind.SMALL), measured(2.0, Kind.SENDER), measured(3.0, Kind.LARGE)]
    assert [expected(*those[: count + 1]).to("out") for count in range(3)] == [1.0, 2.0, 3.0]


def test_what_is_long_ago_is_forgotten_and_so_is_what_is_far_back() -> None:
    assert expected(measured(1.0), now=1000 + LATELY + 1).to("out") is None
    assert expected(*[measured(1.0)] * KEPT, *[measured(2.0)] * KEPT).to("out") == 2.0


def test_a_copy_inside_a_storage_says_nothing_of_the_way_to_it() -> None:
    found = expected(measured(1e12, source="out"))
    assert (found.to("out"), found.between("out", "out")) == (None, 1e12)


@pytest.mark.parametrize(
    ("candidates", "site", "best"),
    [
        ([], None, None),
        ([("a", None, None, False), ("b", None, None, False)], None, None),
        ([("a", 1.0, None, True), ("b", 2.0, None, False)], None, "b"),
        ([("a", None, None, True), ("b", None, None, False)], None, "a"),
        ([("a", None, "ufs", False), ("b", 9.0, "uct", True)], "ufs", "a"),
        ([("a", None, None, True), ("b", None, None, True)], "ufs", "a"),
    ],
)
def test_the_nearest_is_at_home_then_fast_then_here(candidates: list[Any], site: str | None, best: str | None) -> None:
    assert nearest((Candidate(*one) for one in candidates), site) == best


@pytest.fixture
def large_kept(monkeypatch: pytest.MonkeyPatch) -> int:
    """Smaller files are large enough to be kept."""
    monkeypatch.setattr(rates_kept, "LEAST", 9 * MiB)
    return 10 * MiB


def rows(lab: Lab) -> int:
    with lab.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(attempt)).scalar_one())


def test_an_attempt_is_kept_when_it_ends(any_lab: Lab, large_kept: int) -> None:
    source, _ = any_lab.posix("lab"), any_lab.posix("out")
    (source / "f").write_bytes(os.urandom(large_kept))
    engine = any_lab.start()
    any_lab.store.expected = engine.expected
    done = any_lab.run(("lab:/f", "out:/f"))
    any_lab.until(lambda: rows(any_lab) == 1)
    found = any_lab.store.rates(done.id, "ada")
    (one,) = found.attempts
    its = any_lab.file(done.id)
    assert (one.file, one.attempt) == (its.id, its.attempts)
    assert one.ended is not None
    assert one.began <= one.ended
    assert 1 <= len(one.points) <= POINTS
    assert found.expected == engine.expected.to("out") > 0
    assert done.expected_rate is None, "what is over is not waited for"
    any_lab.stop()
    assert any_lab.start().expected.to("out") == pytest.approx(found.expected)


def test_every_attempt_is_there_also_those_that_failed(lab: Lab, large_kept: int) -> None:
    source, _ = lab.posix("lab"), lab.posix("out", Fault("write", every=2, error=Unreachable))
    (source / "f").write_bytes(os.urandom(large_kept))
    lab.start()
    done = lab.run(("lab:/f", "out:/f"))
    assert done.state is TransferState.DONE
    lab.until(lambda: len([one for one in lab.store.rates(done.id, None).attempts if one.ended]) >= 1)
    numbers = [one.attempt for one in lab.store.rates(done.id, None).attempts]
    assert numbers == sorted(set(numbers))


def test_one_that_is_under_way_is_there(
    lab: Lab, noise: Callable[..., bytes], large_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its sender, for as long as we look."""
    for patience in ("SILENCE", "LONGEST"):
        monkeypatch.setattr(f"scigate.gateway_api.transfers.awaiting.{patience}", 600.0)
    sender, _ = lab.uploads(), lab.posix("out")
    lab.start()
    transfer = sender.announce("aa", "out:/f", 60 * MiB)
    sender.send("aa", noise(40 * MiB))
    sender.record("aa")
    lab.until(lambda: any(one.points and not one.ended for one in lab.store.rates(transfer, None).attempts))
    sender.send("aa", noise(60 * MiB)[40 * MiB :])
    sender.complete("aa")
    lab.wait(transfer)
    lab.until(lambda: all(one.ended for one in lab.store.rates(transfer, None).attempts))


def test_only_the_newest_attempts_are_kept(any_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_kept, "KEPT", 3)
    transfer = any_lab.submit(("lab:/f", "out:/f"))
    for number in range(1, 6):
        one = Track(1, 1, number, "lab", "out", float(number))
        one.passed(10, number + 1.0)
        any_lab.database.write(lambda connection, one=one: rates_kept._write(connection, one, 1e9))
    assert [one.attempt for one in any_lab.store.rates(transfer, None).attempts] == [3, 4, 5]


def test_small_files_are_not_kept_but_measured_together(lab: Lab) -> None:
    source, _ = lab.posix("lab"), lab.posix("out")
    for number in range(4):
        (source / f"{number}").write_bytes(os.urandom(MiB))
    engine = lab.start()
    lab.run(*[(f"lab:/{number}", f"out:/{number}") for number in range(4)])
    lab.until(lambda: engine.expected.to("out") is not None)
    assert rows(lab) == 0
