"""The checker finds mistakes: each of these gateways has one, and each is caught by the invariant that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from .run import Result

TRIES: Final = 3  # a kill has to fall into the mistake
MISTAKES: Final = {
    "acknowledged_before_commit": ("I1", ["small"] * 8, 4),
    "drafts_only_forgotten": ("I5 a", ["large"] * 6, 4),
    "verification_skipped": ("I2", ["large", "folder", "pull", "overwrite", "large"], 1),
    "keys_forgotten": ("I3", ["small"] * 12, 2),
    "existence_trusted": ("I2", ["overwrite"] * 8, 4),
    "published_in_place": ("I4", ["large", "pull", "inside", "overwrite", "large"], 2),
    "published_before_recorded": ("I6", ["vanishing"] * 8, 4),
    "bytes_uncounted": ("I8", ["large"] * 3, 2),
    "told_before_recorded": ("U1", ["sent", "sent_over", "sent"], 2),
    "checksums_unchecked": ("I0 a client failed", ["sent"] * 6, 1),
    "expired_early": ("U5", ["left"] * 2, 1),
    "staged_bytes_kept": ("I5 a staged", ["sent", "sent_in_parts"], 1),
    "ended_but_not_cancelled": ("U3", ["ended"] * 4, 1),
}
"""Mutant → how the violation begins that it leads to, what the run does, and how often the gateway is killed."""


@pytest.mark.parametrize("mutant", MISTAKES)
def test_a_mistake_is_caught(mutant: str, crash: Callable[..., Result], seed: int) -> None:
    invariant, kinds, kills = MISTAKES[mutant]
    seen: list[str] = []
    for number in range(seed, seed + TRIES):
        seen += crash(number, kills, mutant=mutant, kinds=kinds).violations
        if any(violation.startswith(invariant) for violation in seen):
            return
    pytest.fail(f"{mutant} was not caught as {invariant}; seen: {seen[:5]}", pytrace=False)


def test_flipping_bits_are_survived(crash: Callable[..., Result], seed: int) -> None:
    """The same faults as for ``verification_skipped``, but with verification."""
    kinds = MISTAKES["verification_skipped"][1]
    assert crash(seed, 1, mutant="bits_flip", kinds=kinds).violations == []


def test_copies_in_parts_leave_nothing(crash: Callable[..., Result], seed: int) -> None:
    """Inside S3, what is larger than one request takes is a multipart upload of its own."""
    assert crash(seed, 8, mutant="copies_in_parts", kinds=["inside"] * 16).violations == []
