"""Small files get many threads where they wait for a distant storage, and few where they would wait for each other."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from scigate.gateway_api.transfers import crowd as crowds
from scigate.gateway_api.transfers.crowd import ENOUGH, Crowd


class Clock:
    def __init__(self) -> None:
        self.wall = self.cpu = 100.0

    def pass_by(self, wall: float, cpu: float) -> None:
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu

    def monotonic(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.cpu


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock: Any = Clock()
    monkeypatch.setattr(crowds, "time", clock)
    return clock


def test_until_something_is_known_all_batches_share_a_few_threads(clock: Clock) -> None:
    crowd = Crowd(4)
    with ExitStack() as running:
        threads = [running.enter_context(crowd.joined()) for _ in range(2 * ENOUGH)]
    assert threads[:4] == [4, 4, 2, 2]
    assert threads[ENOUGH:] == [1] * ENOUGH


def test_a_process_that_waits_takes_all_its_streams_and_a_busy_one_does_not(clock: Clock) -> None:
    crowd = Crowd(4)
    with ExitStack() as running:
        for _ in range(ENOUGH - 1):
            running.enter_context(crowd.joined())
        clock.pass_by(1.0, 0.1)
        with crowd.joined() as threads:
            assert threads == 4
        clock.pass_by(1.0, 0.9)
        with crowd.joined() as threads:
            assert threads == 1


def test_a_batch_that_ends_makes_room(clock: Clock) -> None:
    crowd = Crowd(8)
    for _ in range(100):
        with crowd.joined() as threads:
            assert threads == 8
