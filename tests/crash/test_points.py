"""kill -9 at every crash point, at its first and later occurrences, one after the other; then everything is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.evidence import record

from .run import Result
from .scenes import CLOUD, DESK, Target, scene_of, targets
from .test_kills import judge

PER_WORLD = 24  # kills in one world, before it is judged


@pytest.fixture(scope="session")
def chosen(pytestconfig: pytest.Config, seed: int) -> list[Target]:
    """The kills of this run: all of them with ``--points``, or those that its value names; else one of each point."""
    wish = pytestconfig.getoption("--points", None)
    if wish and wish != "all":
        return [_read(line) for line in wish.split(",")]
    every = targets(3 if wish else 1, seed)
    return every if wish else _one_of_each([target for target in every if not scene_of(target.point).slow])


def _read(text: str) -> Target:
    point, occurrence, storage = text.split()
    return Target(point, int(occurrence), storage)


def _one_of_each(every: Sequence[Target]) -> list[Target]:
    """Each point once, with one of the storages."""
    return list({target.point: target for target in every}.values())


def _worlds(chosen: Sequence[Target], half: int | None) -> Iterator[Sequence[Target]]:
    mine = chosen if half is None else chosen[half::2]
    for storage in (DESK, CLOUD):  # apart, so that no kill is at a point that the other storage has reached
        its = [target for target in mine if target.storage == storage]
        for first in range(0, len(its), PER_WORLD):
            yield its[first : first + PER_WORLD]


def _run(
    point_run: Callable[..., Result], chosen: Sequence[Target], half: int | None, seed: int,
    database: Callable[[], str | None], name: str, *, twice: bool = False,
) -> None:  # fmt: skip
    begun, results, missed = time.monotonic(), [], []
    for its in _worlds(chosen, half):
        result = point_run(seed, its, database=database(), twice=twice)
        results.append(result)
        missed += result.missed
    bad = [result for result in results if result.violations]
    kills = sum(result.kills for result in results)
    record("crash.points", runs=kills, bad=len(bad), seconds=time.monotonic() - begun, seed=seed, database=name,
           missed=len(missed))  # fmt: skip
    judge(bad, name)
    assert missed == [], f"these points were not reached (./run crash --points '{', '.join(missed)}')"


@pytest.mark.timeout(0)
def test_points_on_sqlite(
    point_run: Callable[..., Result], chosen: list[Target], seed: int, pytestconfig: pytest.Config
) -> None:
    half = None if pytestconfig.getoption("--points", None) else 0
    _run(point_run, chosen, half, seed, lambda: None, "SQLite")


@pytest.mark.timeout(0)
def test_points_on_postgresql(
    point_run: Callable[..., Result], chosen: list[Target], seed: int, new_database: Callable[[], str],
    pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    half = None if pytestconfig.getoption("--points", None) else 1
    _run(point_run, chosen, half, seed, new_database, "PostgreSQL")
