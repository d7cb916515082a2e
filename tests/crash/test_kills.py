"""kill -9 of a working gateway at random moments: nothing acknowledged is lost, wrong, double or left over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.evidence import record

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


def judge(results: list[Result], database: str, replay: Callable[[Result], str] = lambda result: "") -> None:
    """Fail if any of them is bad, and say how it is seen again."""
    bad = [result for result in results if result.violations]
    for result in bad:
        shown = "\n  ".join([*result.violations[:10], f"again: {replay(result)}"])
        print(f"{database}, seed {result.seed}, {result.kills} kills; kept in {result.kept}:\n  {shown}")  # noqa: T201
    if bad:
        seeds = ", ".join(str(result.seed) for result in bad)
        pytest.fail(f"violations on {database} with the seeds {seeds}; see below", pytrace=False)


def told(area: str, results: list[Result], database: str, seed: int) -> None:
    """Write it down for the scorecard."""
    kills, bad = sum(result.kills for result in results), sum(bool(result.violations) for result in results)
    seconds = sum(result.seconds for result in results)
    record(area, runs=kills, bad=bad, seconds=seconds, seed=seed, database=database.lower())


@pytest.mark.timeout(0)
def test_kills_on_sqlite(crash: Callable[..., Result], seed: int, kills: int) -> None:
    results = [crash(number, share) for number, share in rounds(seed, kills)]
    told("crash.random", results, "SQLite", seed)
    judge(results, "SQLite", lambda one: f"./run crash --seed {one.seed} --kills {one.kills * 2} -k kills_on_sqlite")
    assert sum(result.kills for result in results) >= kills // 2


@pytest.mark.timeout(0)
def test_kills_on_postgresql(
    crash: Callable[..., Result], new_database: Callable[[], str], seed: int, kills: int
) -> None:
    results = [crash(number, share, database=new_database()) for number, share in rounds(seed, kills)]
    told("crash.random", results, "PostgreSQL", seed)
    judge(
        results, "PostgreSQL", lambda one: f"./run crash --seed {one.seed} --kills {one.kills * 2} -k kills_on_postgr"
    )
    assert sum(result.kills for result in results) >= kills // 2
