"""How large the requests of an upload are."""

from __future__ import annotations

from scigate.gateway_api.client.sending import FIRST, LARGEST, QUICK, SLOW, SMALLEST, Pace
from scigate.storage_backends.backend import MiB


def sent(pace: Pace, total: int, rate: float) -> list[float]:
    """Seconds that each request takes over a link of ``rate`` bytes a second."""
    found = []
    while total > 0:
        found.append(pace.size / rate)
        total -= pace.size
        pace.took(found[-1])
    return found


def test_a_cut_costs_a_second_or_two() -> None:
    for rate in (2 * MiB, 10 * MiB, 30 * MiB, 100 * MiB):
        took = sent(Pace(), 60 * rate, rate)
        assert max(took) <= SLOW, rate
        assert max(took) <= 2 * QUICK, rate


def test_a_fast_link_has_large_requests_soon() -> None:
    took = sent(Pace(), 2048 * MiB, 1024 * MiB)
    assert len(took) < 40
    assert took[-1] == LARGEST / (1024 * MiB)


def test_a_slow_link_has_small_ones_soon() -> None:
    took = sent(Pace(), 20 * MiB, MiB)
    assert took[0] == FIRST / MiB
    assert max(took[1:]) <= SLOW
    assert sent(Pace(), 20 * MiB, MiB / 10)[-1] == SMALLEST / (MiB / 10)


def test_what_the_gateway_never_takes_is_not_tried_again() -> None:
    pace = Pace()
    assert pace.refused()
    largest = pace.size
    assert largest < FIRST
    for _ in range(10):
        pace.took(0.0)
    assert pace.size == largest
    while pace.size > SMALLEST:
        assert pace.refused()
    assert not pace.refused()
