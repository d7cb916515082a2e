"""Power cuts while the gateway works: nothing acknowledged is lost, and what is DONE is on the medium."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import record

from .power import SPLITS
from .run import Result
from .test_kills import judge

KINDS = ["folder", "large", "overwrite", "small", "sent", "inside", "upload", "folder", "cancelled", "pull", "small"]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("split", SPLITS)
def test_cuts(power: Callable[..., Result], seed: int, cuts: int, split: str) -> None:
    begun, share = time.monotonic(), -(-cuts // len(SPLITS)) - 1  # one more at the end of each run
    result = power(seed, share, split, kinds=KINDS * max(1, share // 8))
    bad = [result] if result.violations else []
    record("crash.power", runs=result.kills, bad=len(bad), seconds=time.monotonic() - begun, seed=seed, split=split)
    judge(bad, f"SQLite, power of {split}")
    assert result.kills == share + 1
