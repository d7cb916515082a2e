"""kill -9, in bursts, of a gateway that resumable uploads are sent to: no byte that was told is ever lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .plan import UPLOADS
from .run import Result
from .test_kills import judge, rounds

SHARE = 4  # of the kills, one in so many is for uploads


def kinds_of(kills: int) -> list[str]:
    """So much to send that a burst always finds somebody who sends."""
    return UPLOADS * max(1, kills // 12)


@pytest.mark.timeout(0)
def test_senders_on_sqlite(crash: Callable[..., Result], seed: int, kills: int) -> None:
    results = [
        crash(number, share, kinds=kinds_of(share), bursts=True) for number, share in rounds(seed, kills // SHARE)
    ]
    judge([result for result in results if result.violations], "SQLite")
    assert sum(result.kills for result in results) >= kills // SHARE // 2


@pytest.mark.timeout(0)
def test_senders_on_postgresql(
    crash: Callable[..., Result], new_database: Callable[[], str], seed: int, kills: int
) -> None:
    results = [
        crash(number, share, database=new_database(), kinds=kinds_of(share), bursts=True)
        for number, share in rounds(seed, kills // SHARE)
    ]
    judge([result for result in results if result.violations], "PostgreSQL")
    assert sum(result.kills for result in results) >= kills // SHARE // 2


@pytest.mark.timeout(0)
def test_who_never_comes_back_is_given_up_and_not_too_early(crash: Callable[..., Result], seed: int) -> None:
    result = crash(seed, 3, kinds=["left"] * 3, bursts=True)
    judge([result] if result.violations else [], "SQLite")
    assert result.kills == 3
