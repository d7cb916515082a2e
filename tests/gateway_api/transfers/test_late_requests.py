"""A storage that does what a cut-off attempt asked for only when the next attempt has already looked: it is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from scigate.gateway_api.resources import TransferState
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import Throttled, Unreachable
from scigate.storage_backends.layers import Layer
from scigate.storage_backends.memory import TYPE as MEMORY

Lab = Any  # from conftest.py
T = TypeVar("T")


class Late(Layer):
    """The first ``operation`` gives no answer, and is done when the second one comes."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, operation: str) -> None:
        super().__init__(MEMORY.build(MEMORY.options()))
        self._operation = operation
        self.pending: list[Callable[[], object]] = []
        self.instead: Callable[[], object] | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.asked = 0

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        if operation != self._operation:
            return run()
        self.asked += 1
        if self.asked == 1:
            self.pending.append(self.instead or run)
            self.meanwhile()
            raise Unreachable("no answer came", path=path)
        while self.pending:
            self.pending.pop()()
        return run()


@pytest.mark.parametrize(
    ("operation", "source", "size", "asked"),
    [
        ("copy", "out", 1000, 3),
        ("copy", "out", 9 * MiB, 2),
        ("put", "lab", 1000, 2),
    ],  # tiny: with its bytes; then as usual
)
def test_it_is_recognized(lab: Lab, operation: str, source: str, size: int, asked: int) -> None:
    data, late = b"x" * size, Late(operation)
    lab.add("out", late)
    if source == "lab":
        (lab.posix("lab") / "f").write_bytes(data)
    else:
        late.inner.put("f", data)
    lab.start()
    transfer = lab.submit((f"{source}:/f", "out:/g"))
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert (late.asked, b"".join(late.inner.read("g"))) == (asked, data)


def test_what_somebody_else_put_there_is_not(lab: Lab) -> None:
    late = Late("copy")
    lab.add("out", late)
    late.inner.put("f", b"ours")
    late.instead = lambda: late.inner.put("g", b"theirs")
    lab.start()
    transfer = lab.submit(("out:/f", "out:/g"))
    assert lab.wait(transfer).state is TransferState.FAILED
    assert lab.file(transfer).cause.code == "already-exists"
    assert b"".join(late.inner.read("g")) == b"theirs"


@pytest.mark.parametrize("verify", ["size", "auto"])
def test_what_we_asked_for_before_the_source_changed_is_not_what_was_wanted(lab: Lab, verify: str) -> None:
    late, root = Late("put"), lab.posix("lab")
    lab.add("out", late)
    (root / "f").write_bytes(b"first")

    def change() -> None:
        (root / "f").write_bytes(b"the second")

    late.meanwhile = change
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/g"), verify=verify)
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert b"".join(late.inner.read("g")) == b"the second"


class Busy(Layer):
    """The first ``put`` is refused for the rate alone; everything that is asked is noted."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, *, untouched: bool) -> None:
        super().__init__(MEMORY.build(MEMORY.options()))
        self._untouched, self.asked = untouched, list[str]()

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        self.asked.append(operation)
        if self.asked.count("put") > 1 or operation != "put":
            return run()
        error = Throttled("the storage asks for fewer requests", path=path)
        error.untouched = self._untouched
        raise error


@pytest.mark.parametrize("untouched", [True, False])
def test_a_refusal_that_leaves_nothing_behind_costs_no_look(lab: Lab, untouched: bool) -> None:
    busy = Busy(untouched=untouched)
    lab.add("out", busy)
    (lab.posix("lab") / "f").write_bytes(b"data")
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/g"))
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert lab.types(transfer).count("failure") == 1
    looks = [operation for operation in busy.asked if operation != "put"]
    assert not looks if untouched else looks
