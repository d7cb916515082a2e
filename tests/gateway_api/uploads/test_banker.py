"""Who may take room, so that all who send can be completed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scigate.gateway_api.uploads.banker import Claim, completable, is_safe


@pytest.mark.parametrize(
    ("free", "claims", "found"),
    [
        (0, {}, ""),
        (2, {"a": Claim(8, 2), "b": Claim(4, 6)}, "ab"),  # a gives back 10
        (1, {"a": Claim(8, 2), "b": Claim(4, 6)}, ""),
        (2, {"a": Claim(3, 2), "b": Claim(4, 6)}, "a"),  # 5 is not enough for b
        (2, {"a": Claim(3, 2, returns=False), "b": Claim(4, 1)}, "ab"),  # b first
        (3, {"a": Claim(0, 2, returns=False), "b": Claim(0, 2, returns=False)}, "a"),
        (0, {"a": Claim(5, 0), "b": Claim(5, 5)}, "ab"),
    ],
)
def test_who_can_be_completed(free: int, claims: dict[str, Claim], found: str) -> None:
    assert completable(free, claims) == set(found)


def test_what_would_keep_another_from_its_end_is_not_given() -> None:
    claims = {"a": Claim(5, 5), "b": Claim(0, 10), "c": Claim(1, 9)}
    assert is_safe(6, claims, "b", 1)
    assert not is_safe(5, claims, "b", 1)
    assert not is_safe(5, claims, "c", 1)
    assert is_safe(5, claims, "a", 5)
    assert not is_safe(5, claims, "a", 6)


def test_one_who_cannot_be_completed_keeps_nobody_from_it() -> None:
    """Others hold too much, who do not send now."""
    claims = {"large": Claim(0, 100), "small": Claim(0, 5)}
    assert is_safe(10, claims, "small", 5)
    assert not is_safe(10, claims, "large", 1)


def test_of_one_whose_length_is_not_known_only_the_next_bytes_count() -> None:
    claims = {"unknown": Claim(4, 0), "known": Claim(2, 5)}
    assert is_safe(6, claims, "unknown", 1)
    assert is_safe(6, claims, "unknown", 6)  # it gives them back
    assert not is_safe(6, {"unknown": Claim(4, 0, returns=False), "known": Claim(2, 5)}, "unknown", 2)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_the_order_everybody_is_completed(seed: int) -> None:
    chance = random.Random(seed)
    quota = 100
    claims = {str(number): Claim(0, chance.randint(1, quota)) for number in range(chance.randint(2, 12))}
    free, refused = quota, 0
    while claims:
        name = chance.choice(list(claims))
        count = min(chance.randint(1, 9), claims[name].need)
        if not is_safe(free, claims, name, count):
            refused += 1
            assert refused < 10_000, f"they wait for each other: {free} {claims}"
            continue
        free, old = free - count, claims[name]
        claims[name] = replace(old, held=old.held + count, need=old.need - count)
        if not claims[name].need:
            free += claims.pop(name).held
    assert free == quota
