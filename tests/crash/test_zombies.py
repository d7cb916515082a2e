"""SIGSTOP just before the side effect, take-over by another gateway, SIGCONT: who wakes up changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import record

from .zombie import Scene

SCENES = [
    Scene("publish:before", "desk", "large-31.bin", "overwrite"),
    Scene("publish:before", "cloud", "large-31.bin"),
]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.point} {scene.target}")
def test_it_changes_nothing(
    zombie: Callable[..., list[str]], new_database: Callable[[], str], scene: Scene, seed: int
) -> None:
    begun = time.monotonic()
    found = zombie(seed, scene, database=new_database())
    record(
        "crash.zombies",
        runs=1,
        bad=int(bool(found)),
        seconds=time.monotonic() - begun,
        seed=seed,
        database="postgresql",
    )
    assert found == [], f"again: ./run crash --seed {seed} -k test_zombies"
