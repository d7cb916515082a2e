"""Times on the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.when import read_when

THERE = timezone(timedelta(hours=2))
NOW = datetime(2026, 5, 1, 12, 30, 15, tzinfo=THERE)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("+2h", NOW + timedelta(hours=2)),
        ("+1.5d", NOW + timedelta(hours=36)),
        ("22:00", datetime(2026, 5, 1, 22, tzinfo=THERE)),
        ("9:05", datetime(2026, 5, 2, 9, 5, tzinfo=THERE)),
        ("12:30", datetime(2026, 5, 2, 12, 30, tzinfo=THERE)),
        ("2026-05-03 08:00", datetime(2026, 5, 3, 8, tzinfo=THERE)),
        ("2026-05-03T08:00:30Z", datetime(2026, 5, 3, 8, 0, 30, tzinfo=UTC)),
        ("2026-05-03", datetime(2026, 5, 3, tzinfo=THERE)),
    ],
)
def test_a_time_is_what_people_mean_by_it(text: str, means: datetime) -> None:
    assert read_when(text, NOW) == means


@pytest.mark.parametrize("text", ["", "+", "+2x", "24:00", "tomorrow", "2026-13-01", "5"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        read_when(text, NOW)


def test_a_copy_for_later_waits_and_says_until_when(scigate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"data")
    assert scigate("put", "a.dat", "lab:/when/a.dat").code == 0
    times = ("--not-before", "+1h", "--deadline", "+2h", "--no-wait")
    ran = scigate("cp", "--json", "lab:/when/a.dat", "archive:/when.dat", *times)
    assert ran.code == 0, ran.err
    (submitted,) = ran.lines
    assert submitted["state"] == "WAITING"
    shown = " ".join(scigate("show", submitted["id"], "--files").out.split())  # it wraps lines
    begins = datetime.fromisoformat(submitted["not_before"]).astimezone(UTC)
    assert f"It begins on {begins:%Y-%m-%d %H:%M}" in shown
    assert "tried again" not in shown
    scigate("cancel", submitted["id"])


def test_what_is_put_for_later_is_sent_now(scigate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "b.dat").write_bytes(b"data")
    (submitted,) = scigate("put", "--json", "b.dat", "lab:/when/", "--not-before", "+1h", "--no-wait").lines
    assert (submitted["state"], submitted["cause"]["code"]) == ("WAITING", "scheduled")
    assert submitted["bytes_total"] == 4
    scigate("cancel", submitted["id"])


def test_times_that_cannot_be_are_refused_in_words(scigate: Callable[..., Any]) -> None:
    late = scigate("cp", "lab:/x", "archive:/y", "--not-before", "+2h", "--deadline", "+1h")
    assert late.code != 0
    assert "not before its deadline" in late.err
    wrong = scigate("cp", "lab:/x", "archive:/y", "--not-before", "tomorrow")
    assert wrong.code == 2
    assert "+2h, 22:00" in wrong.err
    here = scigate("get", "lab:/x", ".", "--deadline", "+1h")
    assert here.code == 2
