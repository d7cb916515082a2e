"""Who is held up: the sender by us, or we by the sender."""

from __future__ import annotations

from pathlib import Path

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.transfers.receiving import Receiving
from scigate.gateway_api.uploads.arrivals import Arrivals
from scigate.gateway_api.uploads.pressure import DECAY, PRESSING, UNSEEN, Pressure
from scigate.gateway_api.uploads.source import StagedSource
from scigate.gateway_api.uploads.staged import StagedUpload
from scigate.gateway_api.uploads.staging import Staging
from scigate.gateway_api.uploads.window import Window
from scigate.storage_backends.backend import MiB

STEP = 0.01  # seconds between two looks: 400 MB/s in pieces of 4 MiB


def looked(pressure: Pressure, start: float, pattern: str, times: int) -> float:
    """Look ``times`` as the pattern has it ('#': held up), and again; returns when the last look was."""
    for number in range(times):
        pressure.look(pattern[number % len(pattern)] == "#", start + number * STEP)
    return start + (times - 1) * STEP


def test_nobody_presses_whom_nobody_has_looked_at() -> None:
    pressure = Pressure()
    assert not pressure.is_pressing(1000.0)
    pressure.look(True, 1000.0)
    assert not pressure.is_pressing(1000.0), "one look tells of a moment"


@pytest.mark.parametrize(("pattern", "presses"), [("#", True), ("#.##", True), (".", False), ("#...", False)])
def test_it_is_what_was_most_of_the_time(pattern: str, presses: bool) -> None:
    pressure = Pressure()
    end = looked(pressure, 1000.0, pattern, 200)
    assert pressure.is_pressing(end) is presses


def test_it_is_soon_known_of_a_new_sender() -> None:
    pressure = Pressure()
    end = looked(pressure, 1000.0, "#", 12)
    assert pressure.is_pressing(end)
    assert end - 1000.0 < 0.15


def test_a_sender_who_becomes_slow_or_fast_is_judged_anew_within_a_second() -> None:
    pressure = Pressure()
    end = looked(pressure, 1000.0, "#", 1000)
    end = looked(pressure, end + STEP, ".", int(DECAY / STEP))
    assert not pressure.is_pressing(end)
    end = looked(pressure, end + STEP, "#", int(DECAY / STEP))
    assert pressure.is_pressing(end)


def test_it_ends_by_itself_but_not_between_two_requests() -> None:
    pressure = Pressure()
    end = looked(pressure, 1000.0, "#", 1000)
    assert pressure.is_pressing(end + UNSEEN)
    assert not pressure.is_pressing(end + UNSEEN + DECAY), f"{PRESSING} of the time are not reached any more"
    pressure.look(True, end + 3600)
    assert not pressure.is_pressing(end + 3600), "the hour in between is not counted as pressure"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def pressed(clock: Clock, arrivals: Arrivals, upload: str) -> None:
    for _ in range(100):
        arrivals.looked(upload, True)
        clock.now += STEP


def test_a_complete_upload_presses_no_more() -> None:
    arrivals = Arrivals(clock := Clock())
    pressed(clock, arrivals, "u1")
    assert (arrivals.is_pressing("u1"), arrivals.is_pressing("u2")) == (True, False)
    arrivals.grown("u1", 10, complete=True)
    assert not arrivals.is_pressing("u1")
    pressed(clock, arrivals, "u2")
    arrivals.ended("u2")
    assert not arrivals.is_pressing("u2")


@pytest.mark.parametrize(
    ("size", "taken", "gives_way"),
    [
        (40 * MiB, 0, True),
        (40 * MiB, 51 * MiB, False),  # more than half of the room is taken
        (101 * MiB, 0, False),  # larger than all the room: the window has to slide
        (80 * MiB, 40 * MiB, False),  # larger than what is left
    ],
)
def test_room_goes_before_the_right_of_way(tmp_path: Path, size: int, taken: int, gives_way: bool) -> None:
    migrate(url := f"sqlite:///{tmp_path / 'scigate.db'}")
    database, staging = Database(url), Staging(tmp_path / "staging", 100 * MiB)
    arrivals = Arrivals(clock := Clock())
    source = StagedSource("staging@0badcafe", staging.folder, lambda id: StagedUpload(id, size, 0, False), arrivals)
    receiving = Receiving(database, source, Window(database, source.name, staging, lambda storage: False))
    assert staging.take("another", taken)
    assert not receiving.gives_way("u1", size)
    pressed(clock, arrivals, "u1")
    assert receiving.gives_way("u1", size) is gives_way
    database.close()
