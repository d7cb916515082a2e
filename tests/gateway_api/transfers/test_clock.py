"""Steps of the wall clock are noticed, and what waits moves with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from scigate.gateway_api.db.schema import file
from scigate.gateway_api.resources import FileState
from scigate.gateway_api.transfers.clock import NOTICED, Steps
from sqlalchemy import select

Lab = Any  # from conftest.py


def test_a_step_is_told_once_and_slewing_is_none() -> None:
    wall, steady = [1000.0], [10.0]
    steps = Steps(lambda: wall[0], lambda: steady[0])
    assert steps.look() == 0.0
    wall[0] += 100
    steady[0] += 100
    assert steps.look() == 0.0
    wall[0] += NOTICED / 2
    assert steps.look() == 0.0
    wall[0] -= 3600
    assert steps.look() == -3600 + NOTICED / 2
    assert steps.look() == 0.0


def test_a_process_that_is_held_up_while_it_looks_sees_no_step() -> None:
    held_up, now = [0.0, 3600.0, 0.0], [0.0]

    def wall() -> float:
        told = 1000.0 + now[0]
        now[0] += held_up.pop(0) if held_up else 0.0
        return told

    steps = Steps(wall, lambda: now[0])
    assert steps.look() == 0.0
    assert not held_up


def test_what_waits_is_tried_again_as_soon_as_before_the_clock_was_set_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.FIRST_DELAY", 600.0)
    source = lab.posix("lab")
    (source / "f").write_bytes(b"data")
    lab.memory("mem", capacity=10).put("old", b"12345678")
    engine = lab.start()
    transfer = lab.submit(("lab:/f", "mem:/f"))
    lab.until(lambda: lab.file(transfer).state is FileState.WAITING)
    lab.stop()
    with lab.database.read() as connection:
        before = connection.execute(select(file.c.next_try)).scalar_one()
    work = engine._runtime.work
    wall = [time.time()]
    work._clock = Steps(lambda: wall[0])
    wall[0] -= 86_400
    work.follow_clock()
    with lab.database.read() as connection:
        after = connection.execute(select(file.c.next_try)).scalar_one()
    assert abs(before - after - 86_400) < 60
