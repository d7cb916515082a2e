"""Fair shares, limits, priorities, and storages that rest."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.transfers import scheduler
from scigate.gateway_api.transfers.scheduler import (
    LONGEST_REST,
    TRIPS_AFTER,
    Breaker,
    Head,
    Lane,
    Load,
    Share,
    SlotLimits,
    choose,
    upload_slots,
)

WIDE = SlotLimits(total=8, per_owner=8, per_storage=8)


def lane(owner: str, source: str = "a", destination: str = "b", number: int = 0) -> Lane:
    return Lane(number or abs(hash((owner, source, destination))), owner, source, destination)


class Queue:
    """Queues in memory: owner → how many files; every file takes one unit of time."""

    def __init__(self, limits: SlotLimits, **files: int) -> None:
        self.limits, self.load = limits, Load()
        self.left = {lane(owner): count for owner, count in files.items()}
        self.running: list[Lane] = []
        self.order: list[str] = []

    def start(self) -> bool:
        heads = [Head(of, 4, index) for index, (of, count) in enumerate(self.left.items()) if count]
        found = choose(heads, self.load, self.limits)
        if found is None:
            return False
        self.left[found.lane] -= 1
        self.load.take(found.lane)
        self.running.append(found.lane)
        self.order.append(found.lane.owner)
        return True

    def fill(self) -> None:
        while self.start():
            pass

    def end_one(self) -> None:
        self.load.give_back(self.running.pop(0))


def test_ten_thousand_files_of_one_user_delay_anothers_first_by_one_slot_at_most() -> None:
    queue = Queue(WIDE, ada=10_000)
    queue.fill()
    for _ in range(100):
        queue.end_one()
        queue.fill()
    queue.left[lane("bo")] = 1
    before = len(queue.order)
    queue.fill()
    assert len(queue.order) == before, "all slots are taken"
    queue.end_one()
    queue.fill()
    assert queue.order[before] == "bo"


def test_users_with_full_queues_get_equal_shares() -> None:
    queue = Queue(WIDE, ada=5000, bo=5000, cy=5000)
    for _ in range(3000):
        queue.fill()
        queue.end_one()
    counts = {owner: queue.order.count(owner) for owner in ("ada", "bo", "cy")}
    assert max(counts.values()) - min(counts.values()) <= 2


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), st.integers(1, 9))
def test_no_slot_stays_free_and_nobody_starves(files: dict[str, int], total: int) -> None:
    queue = Queue(SlotLimits(total, total, total), **files)
    while any(queue.left.values()) or queue.running:
        queue.fill()
        assert queue.load.total == min(total, len(queue.running)) or not any(queue.left.values())
        queue.end_one()
    assert {owner: queue.order.count(owner) for owner in files} == files


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (SlotLimits(3, 8, 8), 3),
        (SlotLimits(8, 2, 8), 2),
        (SlotLimits(8, 8, 4), 4),
        (SlotLimits(8, 8, 8, owners={"ada": 1}), 1),
        (SlotLimits(8, 8, 8, storages={"b": 5}), 5),
        (SlotLimits(8, 2, 8, owners={"ada": 6}), 6),
    ],
)
def test_limits_are_kept(limits: SlotLimits, most: int) -> None:
    queue = Queue(limits, ada=100)
    queue.fill()
    assert queue.load.total == most


def test_a_storage_counts_as_source_and_as_destination_but_once_for_a_copy_inside() -> None:
    load = Load()
    load.take(lane("ada", "a", "b"))
    load.take(lane("bo", "b", "a"))
    load.take(lane("cy", "a", "a"))
    assert load.by_storage == {"a": 3, "b": 2}
    load.take(lane("dy", "", "b"))
    assert load.by_storage["b"] == 3
    assert "" not in load.by_storage
    load.give_back(lane("ada", "a", "b"))
    assert (load.by_storage["a"], load.by_owner["ada"], load.total) == (2, 0, 3)


def best(heads: Iterable[Head], resting: Iterable[str] = ()) -> Head | None:
    return choose(heads, Load(), WIDE, resting)


def test_priority_goes_before_age() -> None:
    urgent, old = Head(lane("ada", "a"), 0, 99), Head(lane("ada", "c"), 4, 1)
    assert best([old, urgent]) is urgent
    older = Head(lane("ada", "d"), 4, 0)
    assert best([old, older]) is older


def test_a_high_priority_of_one_user_does_not_push_another_aside() -> None:
    load = Load()
    load.take(lane("ada"))
    urgent, ordinary = Head(lane("ada"), 0, 1), Head(lane("bo"), 9, 2)
    assert choose([urgent, ordinary], load, WIDE) is ordinary


def test_a_resting_storage_is_left_alone_on_either_side() -> None:
    heads = [Head(lane("ada", "a", "b"), 4, 1), Head(lane("ada", "c", "a"), 4, 2), Head(lane("ada", "c", "d"), 4, 3)]
    assert best(heads, ["a"]) is heads[2]
    assert best(heads[:2], ["a"]) is None


def test_nothing_queued_is_nothing_chosen() -> None:
    assert best([]) is None


def test_the_breaker_trips_rests_longer_each_time_and_closes() -> None:
    breaker = Breaker()
    for file in range(TRIPS_AFTER - 1):
        breaker.failed("s", file, 0.0)
    assert breaker.resting(0.0) == set()
    breaker.failed("s", TRIPS_AFTER, 0.0)
    assert breaker.resting(scheduler.FIRST_REST - 0.01) == {"s"}
    assert breaker.resting(scheduler.FIRST_REST) == set()
    breaker.failed("s", 0, 10.0)
    assert breaker.resting(10 + 2 * scheduler.FIRST_REST - 0.01) == {"s"}
    for file in range(1000):
        breaker.failed("s", file, 20.0)
    assert breaker.resting(20 + LONGEST_REST) == set()
    breaker.worked("s")
    breaker.failed("s", 0, 100.0)
    assert breaker.resting(100.0) == set()


def test_what_fails_together_is_one_failure_of_the_storage() -> None:
    """A whole batch, because its common sync failed: the storage rests no longer than for the first three."""
    breaker = Breaker()
    for file in range(256):
        breaker.failed("s", file, 5.0)
    assert breaker.resting(5 + scheduler.FIRST_REST) == set()


def test_one_file_that_always_fails_does_not_trip_the_breaker() -> None:
    breaker = Breaker()
    for second in range(100):
        breaker.failed("s", 7, float(second))
    assert breaker.resting(99.0) == set()


def test_uploads_have_slots_of_their_own_and_leave_some_to_others() -> None:
    staged = [Head(Lane(n, "ada", "staging@0badcafe", "out"), 4, n) for n in range(9)]
    moves, uploads = Share(SlotLimits(1, 1, 1), uploads=False), Share(upload_slots(8), uploads=True)
    moves.load.take(Lane(20, "bo", "lab", "out"))
    assert not moves.is_free
    given = 0
    while head := uploads.choose(staged):
        uploads.load.take(head.lane)
        given += 1
    assert (given, uploads.is_free) == (6, True)
    assert uploads.choose([Head(Lane(30, "bo", "staging@0badcafe", "out"), 4, 30)]) is not None
    assert uploads.choose([Head(Lane(31, "bo", "lab", "out"), 4, 31)]) is None
    assert moves.choose(staged) is None
    assert [upload_slots(n).per_owner for n in (1, 2, 4)] == [1, 1, 3]


def test_a_lane_has_as_much_room_as_its_scarcest_limit_leaves() -> None:
    limits = SlotLimits(total=9, per_owner=7, per_storage=8, storages={"slow": 3})
    load, slow, other = Load(), lane("ada", destination="slow"), lane("bo")
    assert (limits.room(slow, load), limits.room(other, load)) == (3, 7)
    for taken in (slow, slow, other, other):
        load.take(taken)
    assert (limits.room(slow, load), limits.room(other, load)) == (1, 4), "storage 'slow', then storage 'a'"
    load.take(slow)
    assert limits.room(slow, load) == 0


def test_a_lane_gets_slots_in_one_go_only_when_nobody_waits_beside_it() -> None:
    share = Share(WIDE, uploads=False)
    hers, his, upload = lane("ada"), lane("bo"), lane("bo", source="staging@0")
    assert share.room(hers, [Head(hers, 4, 1)]) == 8
    assert share.room(hers, [Head(hers, 4, 1), Head(upload, 4, 2)]) == 8, "uploads have slots of their own"
    assert share.room(hers, [Head(hers, 4, 1), Head(his, 4, 2)]) == 1
