"""I10: a kill costs no more than the parts that were in flight, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from .ground import World
from .process import Nursery
from .resent import Resent

KILLS = 3


@pytest.mark.timeout(0)
def test_a_kill_costs_the_parts_in_flight(
    world: Callable[..., AbstractContextManager[World]], nursery: Nursery, seed: int
) -> None:
    with world() as made:
        assert Resent(made, nursery, seed).violations(KILLS) == []
