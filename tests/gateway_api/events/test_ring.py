"""The newest lines in memory, and pages of older ones: exactly what the journal would say."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from scigate.gateway_api.events.journal import Line, Scan
from scigate.gateway_api.events.pages import Pages
from scigate.gateway_api.events.ring import LOOKED_AT, Interest, Ring
from scigate.gateway_api.events.topics import check_topics, check_types, wants
from scigate.gateway_api.problems import Problem

IDS = [character * 32 for character in "abcd"]


@dataclass(frozen=True)
class Row:
    data: str = "{}"
    destination_path: str | None = None


def line(id: int, transfer: str = IDS[0], owner: str = "ada", kind: str = "scigate.file.claim") -> Line:
    return Line(id, owner, transfer, kind, Row())


def interest(*topics: str, owner: str | None = None, types: tuple[str, ...] = ()) -> Interest:
    return Interest(owner, topics or ("transfers",), types)


def drained(ring: Ring, wanted: Interest, after: int, most: int) -> list[int]:
    found: list[int] = []
    while True:
        part = ring.take(wanted, after, most)
        assert part is not None
        assert len(part.lines) <= most
        found += [one.id for one in part.lines]
        after = part.cursor
        if part.end:
            return found


def test_any_interest_from_anywhere_gives_what_a_plain_search_gives() -> None:
    rng, ring, lines = random.Random(5), Ring(100, kept=300), []
    id = 100
    for _ in range(1000):
        id += rng.randint(1, 3)
        number = rng.randrange(4)
        lines.append(line(id, IDS[number], ["ada", "bo"][number % 2], f"scigate.file.{rng.choice(['claim', 'start'])}"))
        ring.add(lines[-1])
    kept = lines[-300:]
    for _ in range(300):
        owner = rng.choice([None, "ada", "bo"])
        mine = [id for number, id in enumerate(IDS) if owner is None or ["ada", "bo"][number % 2] == owner]
        topics = ["transfers"] if rng.random() < 0.5 else [f"transfer:{id}" for id in rng.sample(mine, 2)]
        types = rng.choice([(), ("scigate.file.start",), ("scigate.file.*",), ("scigate.transfer.*",)])
        after = rng.choice([ring.floor, ring.head, ring.head + 5, rng.choice(kept).id])
        wanted = Interest(owner, tuple(topics), types)
        expected = [
            one.id for one in kept
            if one.id > after and (owner is None or one.owner == owner) and wants(types, one.type)
            and (topics == ["transfers"] or f"transfer:{one.transfer}" in topics)
        ]  # fmt: skip
        assert drained(ring, wanted, after, rng.randint(1, 50)) == expected


def test_what_is_forgotten_is_not_passed_over() -> None:
    ring = Ring(0, kept=10)
    for id in range(1, 21):
        ring.add(line(id))
    assert ring.floor == 10
    assert ring.take(interest(), 9, 5) is None
    assert drained(ring, interest(), 10, 5) == list(range(11, 21))


def test_few_but_heavy_lines_are_forgotten_too() -> None:
    ring = Ring(0, weight=50_000)
    for id in range(1, 101):
        ring.add(Line(id, "ada", IDS[0], "scigate.file.claim", Row(destination_path="x" * 1000)))
    assert 90 < ring.floor < 100
    assert len(ring._windows["*"].lines) - ring._windows["*"].start == 100 - ring.floor


def test_keys_of_transfers_that_are_over_are_forgotten() -> None:
    ring = Ring(0, kept=5)
    for id in range(1, 101):
        ring.add(line(id, transfer=f"{id:032x}", owner=f"user{id}"))
    assert len(ring._windows) == 1 + 5 + 5


def test_one_call_looks_at_a_bounded_number_of_lines() -> None:
    ring = Ring(0)
    for id in range(1, LOOKED_AT + 2):
        ring.add(line(id))
    found = ring.take(interest(types=("scigate.transfer.done",)), 0, 5)
    assert found == Scan([], LOOKED_AT, end=False)


def test_pages_are_shared_whatever_the_cursor() -> None:
    pages = Pages(kept=2)
    wanted = interest(owner="ada")
    pages.add(wanted, 0, Scan([line(id) for id in (2, 4, 6)], 6, end=False))
    pages.add(wanted, 6, Scan([line(id) for id in (8, 10)], 20, end=False))
    taken = pages.take(wanted, 3, 1)
    assert taken is not None
    assert ([one.id for one in taken.lines], taken.cursor) == ([4], 4)
    taken = pages.take(wanted, 7, 9)
    assert taken is not None
    assert ([one.id for one in taken.lines], taken.cursor, taken.end) == ([8, 10], 20, False)
    assert pages.take(wanted, 20, 9) is None
    assert pages.take(interest(owner="bo"), 3, 9) is None
    pages.add(interest(owner="bo"), 0, Scan([line(1)], 1, end=False))
    assert pages.take(wanted, 3, 1) is None, "the oldest page is forgotten"
    assert pages.take(wanted, 6, 9) is not None


def test_the_end_of_the_journal_is_no_page_to_be_kept() -> None:
    pages = Pages()
    pages.add(interest(), 0, Scan([line(1)], 5, end=True))
    pages.add(interest(), 5, Scan([], 5, end=False))
    assert pages.take(interest(), 0, 5) is None
    assert pages.take(interest(), 5, 5) is None


@pytest.mark.parametrize("topics", [[], [""], ["transfer:"], ["files"], ["transfer:" + "A" * 32], ["transfers"] * 101])
def test_what_is_no_topic_is_refused(topics: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        check_topics(topics)
    assert (caught.value.status, caught.value.code) == (422, "invalid-topic")


def test_all_transfers_contain_each_of_them() -> None:
    assert check_topics([f"transfer:{IDS[0]}", "transfers"]) == ("transfers",)
    assert check_topics([f"transfer:{IDS[0]}"] * 3) == (f"transfer:{IDS[0]}",)


@pytest.mark.parametrize("kind", ["", "*", "file.done", "scigate.", "scigate.file*", "scigate.*.done", "scigate.A"])
def test_what_no_event_can_be_is_no_type(kind: str) -> None:
    with pytest.raises(Problem) as caught:
        check_types([kind])
    assert caught.value.code == "invalid-type"
