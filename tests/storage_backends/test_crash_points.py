"""Crash points: what is called while a plan is armed, and that nothing of it is there else."""

from __future__ import annotations

import threading
import timeit
from collections.abc import Iterator

import pytest
from scigate.storage_backends import crash_points
from scigate.storage_backends.crash_points import is_armed, reached
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.layers import compose
from scigate.storage_backends.layers.crash import CHANGES, CrashLayer
from scigate.storage_backends.memory import TYPE as MEMORY


@pytest.fixture
def names() -> Iterator[list[str]]:
    """What this thread reaches: gateways of other tests may run on in this process."""
    found: list[str] = []
    here = threading.current_thread()
    crash_points.arm(lambda name: found.append(name) if threading.current_thread() is here else None)
    yield found
    crash_points.arm(None)


def test_a_plan_is_called_with_every_point_until_it_is_disarmed(names: list[str]) -> None:
    reached("a")
    crash_points.arm(None)
    reached("b")
    assert (names, is_armed()) == (["a"], False)


def test_unarmed_a_point_costs_less_than_a_microsecond() -> None:
    assert not is_armed()
    assert min(timeit.repeat(lambda: reached("a"), number=1000, repeat=20)) < 1e-3


def test_the_layer_is_only_there_while_a_plan_is_armed(names: list[str]) -> None:
    memory = MEMORY.build(MEMORY.options())
    assert isinstance(compose(memory, retry=False), CrashLayer)
    crash_points.arm(None)
    assert compose(memory, retry=False) is memory


def test_changes_have_a_point_before_and_one_after_and_looks_have_none(names: list[str]) -> None:
    storage = compose(MEMORY.build(MEMORY.options()), retry=False)
    storage.put("a", b"1")
    storage.stat("a")
    b"".join(storage.read("a"))
    draft = storage.draft("b", 1, key="k")
    receipt = draft.write(0, 0, 1, [b"2"])
    draft.seal()
    draft.publish([receipt], if_absent=False, digests={})
    storage.delete("a")
    operations = ("put", "draft", "write", "seal", "publish", "delete")
    assert names == [f"{operation}:{when}" for operation in operations for when in ("before", "after")]
    assert set(operations) < CHANGES


def test_what_fails_has_no_after(names: list[str]) -> None:
    storage = compose(MEMORY.build(MEMORY.options()), retry=False)
    with pytest.raises(NotFound):
        storage.delete("nothing")
    assert names == ["delete:before"]
