"""kill -9 of a working gateway at random moments: nothing acknowledged is lost, wrong, double or left over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from .run import Result

PER_RUN = 32  # kills of one run, before it is judged


def rounds(seed: int, kills: int) -> Iterator[tuple[int, int]]:
    """(seed, kills) of each run on one of the two databases."""
    left = -(-kills // 2)
    for number in itertools.count(seed):
        if left <= 0:
            return
        yield number, min(left, PER_RUN)
        left -= PER_RUN


def judge(bad: list[Result], database: str) -> None:
    for result in bad:
        shown = "\n  ".join(result.violations[:10])
        print(f"{database}, seed {result.seed}, {result.kills} kills; kept in {result.kept}:\n  {shown}")  # noqa: T201
    if bad:
        seeds = ", ".join(str(result.seed) for result in bad)
        pytest.fail(f"violations on {database} with the seeds {seeds}; see below", pytrace=False)


@pytest.mark.timeout(0)
def test_kills_on_sqlite(crash: Callable[..., Result], seed: int, kills: int) -> None:
    results = [crash(number, share) for number, share in rounds(seed, kills)]
    judge([result for result in results if result.violations], "SQLite")
    assert sum(result.kills for result in results) >= kills // 2


@pytest.mark.timeout(0)
def test_kills_on_postgresql(
    crash: Callable[..., Result], new_database: Callable[[], str], seed: int, kills: int
) -> None:
    results = [crash(number, share, database=new_database()) for number, share in rounds(seed, kills)]
    judge([result for result in results if result.violations], "PostgreSQL")
    assert sum(result.kills for result in results) >= kills // 2
