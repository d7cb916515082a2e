"""The checker finds mistakes: each of these gateways has one, and each is caught by the invariant that it breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.evidence import record

from . import changing  # noqa: F401 one more kind of operation
from .ground import World
from .mutants import MUTANTS
from .process import Nursery
from .resent import Resent
from .run import Result
from .zombie import Scene

NO_MUTANTS: Final = {"bits_flip", "copies_in_parts", "sources_slow"}
"""Bad luck, not mistakes: with these a gateway must still be right."""
TRIES: Final = 3  # a kill has to fall into the mistake
MISTAKES: Final = {
    "acknowledged_before_commit": ("I1", ["small"] * 8, 4),
    "verification_skipped": ("I2", ["large", "folder", "pull", "overwrite", "large"], 1),
    "keys_forgotten": ("I3", ["small"] * 12, 2),
    "published_in_place": ("I4", ["large", "pull", "inside", "overwrite", "large"], 2),
    "bytes_uncounted": ("I8", ["large"] * 3, 2),
    "told_before_recorded": ("U1", ["sent", "sent_over", "sent"], 2),
    "checksums_unchecked": ("I0 a client failed", ["sent"] * 6, 1),
    "expired_early": ("U5", ["left"] * 2, 1),
    "staged_bytes_kept": ("I5 a staged", ["sent", "sent_in_parts"], 1),
    "ended_but_not_cancelled": ("U3", ["ended"] * 4, 1),
    "everything_refused": ("I0 3 clients were never answered", ["small"] * 3, 0),
    "replaced_where_refused": ("I0", ["refused"] * 10, 1),
    "guard_removed": ("I9", ["cancelled"] * 10, 0),
    "digests_uncompared": ("I2", ["large"] * 5, 1),
    "source_version_unchecked": ("I2", ["changing"] * 6, 0),
    "locks_kept": ("I5", ["small"] * 3, 4),
    "offset_told_wrong": ("U1", ["sent"] * 3, 1),
    "causes_blurred": ("I7", ["refused"] * 4, 1),
}
"""Mutant → how the violation begins that it leads to, what the run does, and how often the gateway is killed."""
DONE_IN_FULL: Final = ("file.PUBLISHING.published:committed",)
AT_POINTS: Final = {
    "intent_after_effect": ("I5 a", "", ["large"] * 4, ("draft:after",)),
    "drafts_only_forgotten": ("I5 a", "", ["large"] * 4, ("draft:after",)),
    "uploads_unaborted": ("I5 a multipart", "", ["large"] * 4, ("s3.draft:unmarked",)),
    "existence_trusted": ("I2", "", ["overwrite"] * 6, ("draft:after",)),
    "published_before_recorded": ("I6", "", ["outlived"] * 4, ("posix.publish:renamed",)),
    "fsync_removed": ("I2", "data", ["large"] * 6, DONE_IN_FULL),
    "folder_sync_removed": ("I2", "data", ["large"] * 6, DONE_IN_FULL),
    "batches_unsynced": ("I2", "data", ["folder"] * 5, DONE_IN_FULL),
    "synchronous_normal": ("I1", "database", ["small"] * 12, ("file.QUEUED.claim:committed",)),
}
"""Mutant → the same, the volume whose power is cut (if any: else it is a kill), and the points at which it is."""


def caught(mutant: str, invariant: str, tries: Iterable[Callable[[], list[str]]]) -> None:
    begun, seen = time.monotonic(), []
    for play in tries:
        seen += play()
        if any(violation.startswith(invariant) for violation in seen):
            record("crash.mutants", runs=1, bad=0, seconds=time.monotonic() - begun, mutant=mutant, as_=invariant)
            return
    record("crash.mutants", runs=1, bad=1, seconds=time.monotonic() - begun, mutant=mutant, as_=invariant)
    pytest.fail(f"{mutant} was not caught as {invariant}; seen: {seen[:5]}", pytrace=False)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("mutant", MISTAKES)
def test_a_mistake_is_caught(mutant: str, crash: Callable[..., Result], seed: int) -> None:
    invariant, kinds, kills = MISTAKES[mutant]
    numbers = range(seed, seed + TRIES)
    caught(mutant, invariant, (lambda n=n: crash(n, kills, mutant=mutant, kinds=kinds).violations for n in numbers))  # type: ignore[misc]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("mutant", AT_POINTS)
def test_it_is_caught_at_a_point(mutant: str, power: Callable[..., Result], seed: int) -> None:
    """Some only by a power cut: after a kill the kernel goes on, and writes it all."""
    invariant, split, kinds, points = AT_POINTS[mutant]
    options = {"mutant": mutant, "kinds": kinds, "points": points}
    caught(mutant, invariant, (lambda n=n: power(n, 4, split, **options).violations for n in range(seed, seed + TRIES)))  # type: ignore[misc]


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("mutant", "invariant", "point"),
    [("storage_unfenced", "I3", "publish:before"), ("epochs_unchecked", "I9", "seal:before")],
)
def test_a_zombie_shows_it(
    mutant: str,
    invariant: str,
    point: str,
    zombie: Callable[..., list[str]],
    new_database: Callable[[], str],
    seed: int,
) -> None:
    scene = Scene(point, "desk", "large-31.bin", "overwrite")
    caught(mutant, invariant, [lambda: zombie(seed, scene, database=new_database(), mutant=mutant)])


@pytest.mark.timeout(0)
def test_the_wire_shows_it(world: Callable[..., AbstractContextManager[World]], nursery: Nursery, seed: int) -> None:
    with world() as made:
        caught("blocks_forgotten", "I10", [lambda: Resent(made, nursery, seed, "blocks_forgotten").violations(4)])


def test_the_list_is_whole() -> None:
    tried = {*MISTAKES, *AT_POINTS, "storage_unfenced", "blocks_forgotten", "epochs_unchecked"}
    assert tried == MUTANTS.keys() - NO_MUTANTS, "every mutant is tried"
    assert len(tried) >= 20


@pytest.mark.timeout(0)
def test_changing_sources_are_survived(crash: Callable[..., Result], seed: int) -> None:
    """The same changes as for ``source_version_unchecked``, with the checks."""
    assert crash(seed, 1, mutant="sources_slow", kinds=["changing"] * 5).violations == []


def test_flipping_bits_are_survived(crash: Callable[..., Result], seed: int) -> None:
    """The same faults as for ``verification_skipped``, but with verification."""
    kinds = MISTAKES["verification_skipped"][1]
    assert crash(seed, 1, mutant="bits_flip", kinds=kinds).violations == []


def test_copies_in_parts_leave_nothing(crash: Callable[..., Result], seed: int) -> None:
    """Inside S3, what is larger than one request takes is a multipart upload of its own."""
    assert crash(seed, 8, mutant="copies_in_parts", kinds=["inside"] * 16).violations == []
