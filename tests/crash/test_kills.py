"""kill -9 of a working gateway at random moments: nothing acknowledged is lost, wrong, double or left over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from .run import Result

PER_RUN = 16  # kills of one run, before it is judged


def rounds(config: pytest.Config, share: int) -> Iterator[tuple[int, int]]:
    """(seed, kills) of each run of one of ``share`` databases."""
    left = -(-config.getoption("--kills") // share)
    for seed in itertools.count(config.getoption("--seed")):
        if left <= 0:
            return
        kills = min(left, PER_RUN)
        yield seed, kills
        left -= kills


def judge(bad: list[Result], database: str) -> None:
    for result in bad:
        shown = "\n  ".join(result.violations[:10])
        print(f"{database}, seed {result.seed}, {result.kills} kills; kept in {result.kept}:\n  {shown}")  # noqa: T201
    if bad:
        seeds = ", ".join(str(result.seed) for result in bad)
        pytest.fail(f"violations on {database} with the seeds {seeds}; see below", pytrace=False)


@pytest.mark.timeout(0)
def test_kills_on_sqlite(crash: Callable[..., Result], pytestconfig: pytest.Config) -> None:
    results = [crash(seed, kills) for seed, kills in rounds(pytestconfig, 2)]
    judge([result for result in results if result.violations], "SQLite")
    assert sum(result.kills for result in results) >= pytestconfig.getoption("--kills") // 2


@pytest.mark.timeout(0)
def test_kills_on_postgresql(
    crash: Callable[..., Result], pytestconfig: pytest.Config, new_database: Callable[[], str]
) -> None:
    results = [crash(seed, kills, database=new_database()) for seed, kills in rounds(pytestconfig, 2)]
    judge([result for result in results if result.violations], "PostgreSQL")
    assert sum(result.kills for result in results) >= pytestconfig.getoption("--kills") // 2
