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


def judge(result: Result, database: str) -> None:
    if result.violations:
        shown = "\n  ".join(result.violations[:20])
        pytest.fail(
            f"{len(result.violations)} violations after {result.kills} kills on {database}, seed {result.seed}; "
            f"kept in {result.kept}:\n  {shown}",
            pytrace=False,
        )


@pytest.mark.timeout(0)
def test_kills_on_sqlite(crash: Callable[..., Result], pytestconfig: pytest.Config) -> None:
    for seed, kills in rounds(pytestconfig, 2):
        result = crash(seed, kills)
        judge(result, "SQLite")
        assert result.kills == kills


@pytest.mark.timeout(0)
def test_kills_on_postgresql(
    crash: Callable[..., Result], pytestconfig: pytest.Config, new_database: Callable[[], str]
) -> None:
    for seed, kills in rounds(pytestconfig, 2):
        result = crash(seed, kills, database=new_database())
        judge(result, "PostgreSQL")
        assert result.kills == kills
