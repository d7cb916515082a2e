"""What is looked at, how often, and what people are told of a storage's failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers.looking import failure_of
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import Buffer, MiB
from scigate.storage_backends.digests import digest
from scigate.storage_backends.errors import AccessDenied, AlreadyExists, NoSpace
from scigate.storage_backends.layers import Fault, Layer
from scigate.storage_backends.memory import TYPE as MEMORY

Lab = Any  # from conftest.py


@pytest.mark.parametrize("words", ["cannot publish: File exists", "something is here already"])
def test_a_destination_that_came_meanwhile_is_told_in_the_same_words(words: str) -> None:
    cause = failure_of(AlreadyExists(words, path="run7/a.dat"), 0).cause
    assert (cause.code, cause.message) == ("already-exists", "the destination exists already: run7/a.dat")
    assert cause.next_step == "Choose another name, or overwrite, newer or skip-same."


@pytest.mark.parametrize(
    ("storage", "told"), [("lab", "lab: it is full"), ("outside", "it is full"), (None, "it is full")]
)
def test_a_storage_is_named_unless_it_is_none_of_ours(storage: str | None, told: str) -> None:
    error = NoSpace("it is full")
    error.storage = storage
    assert failure_of(error, 0).cause.message == told


class Passes(Layer):
    """Counts how often an object is read from its beginning."""

    count = 0

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        self.count += offset == 0
        return start()


@pytest.mark.parametrize("size", [1000, 9 * MiB])
def test_a_source_is_read_once_to_be_compared_and_once_to_be_copied(lab: Lab, size: int) -> None:
    source = Passes(MEMORY.build(MEMORY.options()))
    source.inner.put("f", b"x" * size)
    lab.add("mem", source)
    (lab.posix("out") / "f").write_bytes(b"y" * size)
    lab.start()
    done = lab.run(("mem:/f", "out:/f"), overwrite="skip-same")
    assert (done.state, done.files.skipped, source.count) == (TransferState.DONE, 0, 2)


@pytest.mark.parametrize("size", [1000, 9 * MiB])
@pytest.mark.parametrize(("brought", "skipped"), [(b"1", 0), (b"2", 1)])
def test_what_an_earlier_attempt_has_read_is_not_what_the_source_holds_now(
    lab: Lab, size: int, brought: bytes, skipped: int
) -> None:
    root = lab.posix("lab")
    out = lab.posix("out", Fault("publish", error=AccessDenied))
    (root / "f").write_bytes(b"1" * size)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"), overwrite="skip-same")
    assert lab.wait(transfer).state is TransferState.FAILED
    (out / "f").write_bytes(brought * size)  # by somebody else
    (root / "f").write_bytes(b"2" * size)
    lab.posix("out")
    lab.store.ask(transfer, None, Wish.RETRY)
    done = lab.wait(transfer)
    assert (done.state, done.files.skipped) == (TransferState.DONE, skipped)
    assert (out / "f").read_bytes() == b"2" * size
    file, right = lab.file(transfer), digest("crc64nvme", [b"2" * size])
    assert file.digests.get("crc64nvme", right) == right
    assert (file.proof is None) == bool(skipped)
