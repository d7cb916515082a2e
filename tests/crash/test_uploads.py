"""kill -9, in bursts, of a gateway that resumable uploads are sent to: no byte that was told is ever lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .plan import UPLOADS
from .run import Result
from .test_kills import judge, rounds, told

_AGAIN = "./run crash"
SHARE = 4  # of the kills, one in so many is for uploads


def kinds_of(kills: int) -> list[str]:
    """So much to send that a burst always finds somebody who sends."""
    return UPLOADS * max(1, kills // 12)


@pytest.mark.timeout(0)
def test_senders_on_sqlite(crash: Callable[..., Result], seed: int, kills: int) -> None:
    results = [
        crash(number, share, kinds=kinds_of(share), bursts=True, weather="impatience")
        for number, share in rounds(seed, kills // SHARE)
    ]
    told("crash.uploads", results, "SQLite", seed)
    judge(
        results,
        "SQLite",
        lambda one: f"{_AGAIN} --seed {one.seed} --kills {one.kills * 2 * SHARE} -k senders_on_sqlite",
    )
    assert sum(result.kills for result in results) >= kills // SHARE // 2


@pytest.mark.long
@pytest.mark.timeout(0)
def test_senders_on_postgresql(
    crash: Callable[..., Result], new_database: Callable[[], str], seed: int, kills: int
) -> None:
    results = [
        crash(number, share, database=new_database(), kinds=kinds_of(share), bursts=True, weather="impatience")
        for number, share in rounds(seed, kills // SHARE)
    ]
    told("crash.uploads", results, "PostgreSQL", seed)
    judge(
        results, "PostgreSQL", lambda one: f"{_AGAIN} --seed {one.seed} --kills {one.kills * 2 * SHARE} -k senders_on_p"
    )
    assert sum(result.kills for result in results) >= kills // SHARE // 2


@pytest.mark.timeout(0)
def test_who_never_comes_back_is_given_up_and_not_too_early(crash: Callable[..., Result], seed: int) -> None:
    result = crash(seed, 3, kinds=["left"] * 3, bursts=True)
    judge([result], "SQLite", lambda one: f"{_AGAIN} --seed {one.seed} -k never_comes_back")
    assert result.kills == 3
