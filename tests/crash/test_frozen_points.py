"""The same as ``test_zombies`` at every point where it could matter, on both databases."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import record

from .zombie import Scene

EVERYWHERE = [
    Scene("publish:before", "desk", "large-31.bin"),
    Scene("publish:before", "cloud", "large-31.bin", "overwrite"),
    Scene("publish:before", "desk", "small.bin", "overwrite"),
    Scene("seal:before", "desk", "large-31.bin", "overwrite"),
    Scene("write:before", "desk", "large-31.bin"),
    Scene("write:before", "cloud", "large-31.bin"),
    Scene("s3.publish:owned", "cloud", "large-31.bin"),
    Scene("s3.publish:owned", "cloud", "large-31.bin", "overwrite"),
    Scene("put:before", "cloud", "small.bin"),
    Scene("put:before", "cloud", "small.bin", "overwrite"),
    Scene("posix.publish:renamed", "desk", "large-31.bin"),
]
"""Points outside of a transaction: on SQLite who stands still in one keeps all others from writing, on any host."""
IN_A_TRANSACTION = [
    Scene("file.PUBLISHING.published:written", "desk", "large-31.bin", "overwrite"),
    Scene("file.PUBLISHING.published:written", "cloud", "large-31.bin"),
    Scene("file.COPYING.stored:written", "cloud", "small.bin"),
]
CASES = [
    *(("postgresql", scene) for scene in EVERYWHERE + IN_A_TRANSACTION),
    *(("sqlite", scene) for scene in EVERYWHERE),
]


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("kind", "scene"), CASES, ids=[f"{k} {s.point} {s.target} {s.path} {s.overwrite}" for k, s in CASES]
)
def test_it_changes_nothing(
    zombie: Callable[..., list[str]], new_database: Callable[[], str], kind: str, scene: Scene, seed: int
) -> None:
    """On SQLite both gateways work on one database file of one machine, which nobody should but anybody can."""
    begun = time.monotonic()
    found = zombie(seed, scene, database=new_database() if kind == "postgresql" else None)
    record("crash.zombies", runs=1, bad=int(bool(found)), seconds=time.monotonic() - begun, seed=seed, database=kind)
    assert found == [], f"again: ./run crash --seed {seed} -k test_frozen_points"
