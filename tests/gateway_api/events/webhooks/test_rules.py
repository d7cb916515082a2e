"""The decisions behind webhooks: what answers mean, when to try again, whose turn it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from scigate.gateway_api.events.webhooks_rules import Candidate, Retries, Turns, choose, given_up, refusal_of

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def test_the_wait_doubles_up_to_an_hour_with_full_jitter() -> None:
    bounds = [Retries().delay(failures, lambda: 1.0) for failures in range(1, 14)]
    assert bounds[:4] == [5, 10, 20, 40]
    assert bounds[-1] == 3600
    assert bounds == sorted(bounds)
    assert Retries().delay(10_000, lambda: 1.0) == 3600
    assert Retries().delay(5, lambda: 0.0) == 0
    some = {Retries().delay(9) for _ in range(50)}
    assert len(some) == 50
    assert all(0 <= one <= 1280 for one in some)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_accepts(status: int) -> None:
    assert refusal_of(status, "60", NOW) is None


@pytest.mark.parametrize(("status", "code"), [(301, "receiver-redirects"), (308, "receiver-redirects"),
                                              (400, "receiver-refused"), (401, "receiver-refused"),
                                              (503, "receiver-refused"), (410, "receiver-gone")])  # fmt: skip
def test_everything_else_refuses(status: int, code: str) -> None:
    refusal = refusal_of(status, None, NOW)
    assert refusal is not None
    assert (refusal.cause.code, refusal.final) == (code, status == 410)
    assert refusal.cause.retriable is not refusal.final
    assert str(status) in refusal.cause.message
    assert refusal.cause.next_step


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120), ("0", 0), ("86400", 86400), ("999999999999999999999999999", 86400), ("-5", 0), ("soon", 0),
        ("1.5", 0), ("", 0), ("\u0661\u0662", 0), ("Fri, 20 Nov 2026 12:10:00 GMT", 600), (None, 0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0), ("Fri, 20 Nov 2099 12:00:00 GMT", 86400), ("Fri, 99 Nov 2026", 0),
    ],
)  # fmt: skip
def test_retry_after_in_both_forms_within_reason(value: str | None, seconds: float) -> None:
    refusal = refusal_of(503, value, NOW)
    assert refusal is not None
    assert refusal.wish == seconds


def test_who_gives_up_says_what_to_do() -> None:
    refusal = refusal_of(500, None, NOW)
    assert refusal is not None
    last = given_up(refusal.cause)
    assert not last.retriable
    assert last.message == refusal.cause.message
    assert "enable" in last.next_step


def candidates(owner: str, count: int, *, failing: bool = False, first: int = 0) -> list[Candidate]:
    return [Candidate(first + number, owner, failing, float(number)) for number in range(count)]


def test_owners_share_fairly() -> None:
    due = [*candidates("ada", 50), *candidates("bo", 3, first=100), *candidates("cy", 1, first=200)]
    chosen = choose(due, [], Turns(total=8, per_owner=4))
    assert {owner: sum(one.owner == owner for one in chosen) for owner in ("ada", "bo", "cy")} == {
        "ada": 4, "bo": 3, "cy": 1,
    }  # fmt: skip


def test_failing_receivers_never_take_all_turns() -> None:
    due = [*(one for owner in range(20) for one in candidates(f"u{owner}", 5, failing=True, first=owner * 10))]
    turns = Turns(total=16, per_owner=4, failing=6, failing_per_owner=2)
    running = choose(due, [], turns)
    assert len(running) == 6
    sound = choose(candidates("ada", 9, first=900), running, turns)
    assert len(sound) == 4
    assert choose(due, running, turns) == []


def test_who_is_due_longest_is_first() -> None:
    due = [Candidate(1, "ada", False, 30.0), Candidate(2, "ada", False, 10.0), Candidate(3, "ada", False, 20.0)]
    assert [one.seq for one in choose(due, [], Turns(total=2))] == [2, 3]


def test_retries_are_settings_of_values_that_fit() -> None:
    assert Retries().give_up == timedelta(days=3)
    assert Turns().failing < Turns().total
