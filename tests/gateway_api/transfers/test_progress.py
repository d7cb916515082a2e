"""Bytes on the move, and how fast."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from scigate.gateway_api.transfers import progress as module
from scigate.gateway_api.transfers.progress import TICK, WINDOW, LiveProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only value is the time, for this module alone: others of this process may be waiting for something."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_bytes_move_until_they_are_recorded() -> None:
    live = LiveProgress()
    live.passed(1, 10, 100)
    live.passed(1, 11, 50)
    live.passed(2, 20, 7)
    assert (live.moving(1), live.moving(2), live.moving(3)) == (150, 7, 0)
    live.recorded(10, 60)
    assert (live.moving_file(10), live.moving(1)) == (40, 90)
    live.ended(10)
    assert (live.moving_file(10), live.moving(1)) == (0, 50)


def test_more_recorded_than_passed_is_not_less_than_nothing() -> None:
    live = LiveProgress()
    live.passed(1, 10, 5)
    live.recorded(10, 100)
    assert live.moving_file(10) == 0


def test_the_rate_is_of_the_last_seconds(clock: list[float]) -> None:
    live = LiveProgress()
    for _ in range(40):
        live.passed(1, 10, 100)
        clock[0] += TICK
    assert live.rate(1) == pytest.approx(100 / TICK, rel=0.1)
    clock[0] += WINDOW / 2
    assert live.rate(1) == pytest.approx(100 / TICK / 2, rel=0.2), "a stall shows"
    clock[0] += WINDOW
    assert live.rate(1) is None


def test_nothing_passed_is_no_rate() -> None:
    assert LiveProgress().rate(1) is None


def test_a_burst_is_not_an_absurd_rate(clock: list[float]) -> None:
    live = LiveProgress()
    live.passed(1, 10, 1000)
    assert live.rate(1) == pytest.approx(1000 / TICK)


def test_nothing_is_kept_of_files_that_ended(clock: list[float]) -> None:
    live = LiveProgress()
    for number in range(1000):
        live.passed(number, number, 1)
        live.ended(number)
        clock[0] += 1
    kept = sum(len(getattr(live, name)) for name in ("_moving", "_transfer_of", "_buckets"))
    assert kept < 100


def test_many_threads_lose_no_byte() -> None:
    live = LiveProgress()

    def move(file: int) -> None:
        for _ in range(1000):
            live.passed(1, file, 3)

    threads = [threading.Thread(target=move, args=(file,)) for file in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live.moving(1) == 8 * 1000 * 3


def test_a_file_that_waits_is_told_after_a_while_and_not_when_bytes_pass(clock: list[float]) -> None:
    live = LiveProgress()
    live.waits(7)
    assert not live.waits_long(7)
    clock[0] += module.WAITS
    live.waits(7)
    assert live.waits_long(7)
    live.passed(1, 7, 10)
    assert not live.waits_long(7)
