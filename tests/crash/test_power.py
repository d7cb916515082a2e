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


PER_RUN = 16  # cuts of one run, before it is judged


@pytest.mark.timeout(0)
@pytest.mark.parametrize("split", SPLITS)
def test_cuts(power: Callable[..., Result], seed: int, cuts: int, split: str) -> None:
    begun, left, results = time.monotonic(), -(-cuts // len(SPLITS)), []
    while left > 0:
        share = min(left, PER_RUN) - 1  # one more when all is done
        results.append(power(seed + len(results), share, split, kinds=KINDS * max(1, share // 6)))
        left -= share + 1
    made, bad = sum(result.kills for result in results), sum(bool(result.violations) for result in results)
    record("crash.power", runs=made, bad=bad, seconds=time.monotonic() - begun, seed=seed, split=split)
    judge(results, f"SQLite, power of {split}", lambda r: f"./run crash --seed {r.seed} -k 'test_cuts and {split}'")
    assert made >= cuts // len(SPLITS)
