"""kill -9 and errors of the disk at the n-th fsync, rename or write: nothing is lost, wrong or left over."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import record

from .run import Result
from .syscalls import ERRORS, KILLS
from .test_kills import judge

KINDS = ["folder", "overwrite", "large", "small", "folder", "small", "overwrite", "large", "same", "pull"]


@pytest.mark.timeout(0)
def test_injections(syscalls: Callable[..., Result], seed: int, thorough: bool) -> None:
    begun = time.monotonic()
    chosen = (KILLS + ERRORS) * 2 if thorough else [*KILLS[:2], KILLS[5], *ERRORS[:2]]
    result = syscalls(seed, chosen, kinds=KINDS * (3 if thorough else 1))
    spent = time.monotonic() - begun
    record("crash.syscalls", runs=result.kills, bad=int(bool(result.violations)), seconds=spent, seed=seed)
    judge([result], "SQLite", lambda result: f"./run crash --seed {result.seed} -k test_injections")
    came = [one for one in chosen if str(one) not in result.missed]
    assert {one.kind for one in came} == {"signal", "error"}, f"they never came: {result.missed}"
