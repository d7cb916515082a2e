"""kill -9 at every crash point, at its first and later occurrences, one after the other; then everything is judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest

from .ground import EXPIRES
from .known import WITHIN
from .run import Result
from .scenes import CLOUD, DESK, Target, scene_of, targets
from .test_kills import judge, told

PER_WORLD = 40  # kills in one world, before it is judged
GONE_AFTER = 6  # seconds without a byte after which an upload expires: sooner than its file is given back
TWICE = [pytest.param(False, id="once"), pytest.param(True, id="twice", marks=pytest.mark.long)]
FEW = 9  # in the usual run, of so many kills one is followed by another one during the recovery


@pytest.fixture(scope="session")
def wish(pytestconfig: pytest.Config) -> str | None:
    """What ``--points`` says."""
    return pytestconfig.getoption("--points", None)


def _chosen(wish: str | None, occurrences: int, seed: int, half: int, *, twice: bool) -> Sequence[Target]:
    """All kills with ``--points``, or those that its value names; else one at each place, before it or behind, on one
    of the databases."""
    if wish is not None and wish != "all":
        return [_read(line.strip()) for line in wish.split(",")]
    if wish == "all":
        return targets(1 if twice else occurrences, seed)
    quick = [target for target in targets(1, seed) if not scene_of(target.point).slow]
    mine = list({_place(target.point): target for target in quick}.values())[half::2]
    return mine[::FEW] if twice else mine


def _place(point: str) -> str:
    """What the point is before, in or behind."""
    return point if point in WITHIN else point.partition(":")[0]


def _read(text: str) -> Target:
    point, occurrence, storage = text.split()
    return Target(point, int(occurrence), storage)


def _worlds(chosen: Sequence[Target]) -> Iterator[Sequence[Target]]:
    """Storages apart, so that no kill is at a point that the other one has reached, and those who leave apart."""
    shared = [target for target in chosen if not scene_of(target.point).alone]
    for storage, leave in itertools.product((DESK, CLOUD), (False, True)):
        its = [target for target in shared if (target.storage, _leaves(target)) == (storage, leave)]
        for first in range(0, len(its), PER_WORLD):
            yield its[first : first + PER_WORLD]
    yield from ([target] for target in chosen if scene_of(target.point).alone)


def _leaves(target: Target) -> bool:
    return scene_of(target.point).kind.startswith("left")


def _run(
    point_run: Callable[..., Result], chosen: Sequence[Target], seed: int, database: Callable[[], str | None],
    name: str, *, twice: bool,
) -> None:  # fmt: skip
    runs = []
    for its in _worlds(chosen):
        expires = GONE_AFTER if _leaves(its[0]) else EXPIRES
        runs.append((its, point_run(seed, its, database=database(), twice=twice, expires=expires)))
        told("crash.points", [runs[-1][1]], name, seed)  # at once: a long run may be broken off
    results = [result for _, result in runs]
    which = f"{name.lower()} and {'twice' if twice else 'once'}"
    commands = {id(result): _again(its, result, which) for its, result in runs}
    judge(results, name, lambda result: commands[id(result)])
    missed = [target for result in results for target in result.missed]
    assert missed == [], f"these points were not reached: ./run crash --points '{', '.join(missed)}'"


def _again(its: Sequence[Target], result: Result, which: str) -> str:
    """The kills that a violation names its request of, and the command that brings all of this world again."""
    text = " ".join(result.violations)
    blamed = [str(target) for number, target in enumerate(its) if f"point-{result.seed}-{number}-" in text]
    line = f"./run crash --seed {result.seed} -k '{which}' --points"
    return f"{line} '{', '.join(blamed)}', or with all before them: {line} '{', '.join(map(str, its))}'"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("twice", TWICE)
def test_points_on_sqlite(
    point_run: Callable[..., Result], wish: str | None, occurrences: int, seed: int, twice: bool
) -> None:
    _run(point_run, _chosen(wish, occurrences, seed, 0, twice=twice), seed, lambda: None, "SQLite", twice=twice)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("twice", TWICE)
def test_points_on_postgresql(
    point_run: Callable[..., Result], wish: str | None, occurrences: int, seed: int, twice: bool,
    new_database: Callable[[], str],
) -> None:  # fmt: skip
    _run(point_run, _chosen(wish, occurrences, seed, 1, twice=twice), seed, new_database, "PostgreSQL", twice=twice)
