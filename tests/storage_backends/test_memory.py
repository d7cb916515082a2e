"""What memory has beyond the contract: its capacity, and that options are the storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError
from scigate.storage_backends.errors import NoSpace
from scigate.storage_backends.layers import compose
from scigate.storage_backends.memory import TYPE, MemoryBackend, MemoryOptions
from scigate.storage_backends.testing import CASES, Outcome, run


@pytest.fixture
def memory() -> MemoryBackend:
    backend = TYPE.build(MemoryOptions(capacity=1000))
    assert isinstance(backend, MemoryBackend)
    return backend


def test_full_is_no_space_and_stores_nothing(memory: MemoryBackend) -> None:
    memory.put("a", b"x" * 900)
    with pytest.raises(NoSpace, match="101 bytes do not fit: 100 of 1000"):
        memory.put("b", b"x" * 101)
    assert [entry.path for entry in memory.scan()] == ["a"]
    memory.put("b", b"x" * 100)


def test_a_replaced_object_makes_room_for_the_next(memory: MemoryBackend) -> None:
    for _ in range(5):
        memory.put("a", b"x" * 900)
    assert memory.extras.free is not None
    assert memory.extras.free() == 100


def test_blocks_of_drafts_take_space_until_discarded(memory: MemoryBackend) -> None:
    draft = memory.draft("a", 2000, key="k")
    draft.write(0, 0, 800, [b"x" * 800])
    with pytest.raises(NoSpace):
        draft.write(1, 800, 800, [b"x" * 800])
    assert set(draft.parts()) == {0}
    draft.discard()
    memory.put("b", b"x" * 1000)


def test_a_copy_takes_space_and_a_move_does_not(memory: MemoryBackend) -> None:
    memory.put("a", b"x" * 600)
    assert memory.extras.copy is not None
    assert memory.extras.move is not None
    with pytest.raises(NoSpace):
        memory.extras.copy("a", "b", version=None, if_absent=False, key="k", progress=lambda _: None)
    assert memory.extras.move("a", "b", False).size == 600
    assert memory.extras.free is not None
    assert memory.extras.free() == 400


def test_deleting_makes_room(memory: MemoryBackend) -> None:
    memory.put("a", b"x" * 1000)
    memory.delete("a")
    assert memory.put("b", b"x" * 1000).size == 1000


def test_never_more_than_its_capacity_between_threads(memory: MemoryBackend) -> None:
    def put(number: int) -> bool:
        try:
            memory.put(f"{number}", b"x" * 10)
        except NoSpace:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(put, range(300))) == 100
    assert sum(entry.size for entry in memory.scan()) == 1000


def test_a_negative_capacity_is_refused() -> None:
    with pytest.raises(ValidationError):
        MemoryOptions(capacity=-1)


def test_the_suite_runs_without_pytest_and_leaves_nothing() -> None:
    options = MemoryOptions()
    TYPE.build(options).put("kept", b"x")
    results = list(run(lambda: TYPE.build(options), "scratch/", many=50))
    assert [result.case for result in results] == list(CASES)
    assert {result.case.name: result.seen for result in results if not result.good} == {}
    assert all(result.seen for result in results if result.outcome is Outcome.UNCLAIMED)
    assert [entry.path for entry in TYPE.build(options).scan()] == ["kept"]


def test_a_read_only_storage_that_nobody_can_seed_is_said_to_be_so() -> None:
    options = MemoryOptions()
    results = list(run(lambda: compose(TYPE.build(options), read_only=True), "scratch/"))
    assert {result.case.name: result.seen for result in results if not result.good} == {}
    unseeded = {result.case.name for result in results if "there is no seed" in result.seen}
    assert {"read.whole", "scan.recursive", "read-only.writes-nothing"} <= unseeded
    assert "read.missing" not in unseeded
