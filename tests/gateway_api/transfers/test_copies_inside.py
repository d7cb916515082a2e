"""Copies that a storage makes by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from awscrt.checksums import crc64nvme
from scigate.gateway_api.gateway import _moved
from scigate.gateway_api.resources import Proof, TransferState
from scigate.gateway_api.transfers.mover import TINY
from scigate.storage_backends.backend import CopiedAndRead, Entry, Extras
from scigate.storage_backends.errors import SourceChanged
from scigate.storage_backends.layers.layer import Layer
from scigate.storage_backends.memory import TYPE as MEMORY

Lab = Any  # from conftest.py


class WrongCopies(Layer):
    """A storage whose first copy is of other bytes than its source."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.deleted: list[str] = []
        self.made: list[CopiedAndRead] = []

    @property
    def extras(self) -> Extras:
        return replace(self.wrapped, copy_and_read=self._copy_and_read)

    def _copy_and_read(self, source: str, destination: str, **about: Any) -> CopiedAndRead:
        made: CopiedAndRead = self.inner.extras.copy_and_read(source, destination, **about)
        if not self.made:
            self.inner.put(destination, bytes(made.entry.size), key=about["key"])
            made = replace(made, copy="0" * 16)
        self.made.append(made)
        return made

    def delete(self, path: str) -> None:
        self.deleted.append(path)
        super().delete(path)


def test_a_tiny_copy_inside_a_storage_is_compared_with_its_source(lab: Lab, noise: Callable[..., bytes]) -> None:
    layer = WrongCopies(MEMORY.build(MEMORY.options()))
    layer.put("a", data := noise(1000))
    lab.add("mem", layer)
    lab.start()
    done = lab.run(("mem:/a", "mem:/b"))
    assert (done.state, done.proof, done.bytes_done) == (TransferState.DONE, Proof.A, 1000)
    assert (len(layer.made), layer.deleted) == (2, ["b"]), "the wrong copy was removed, and made again"
    assert b"".join(bytes(piece) for piece in layer.read("b")) == data
    assert lab.file(done.id).digests == {"crc64nvme": f"{crc64nvme(data):016x}"}


class SomebodyElse(Layer):
    """A storage at which somebody replaces a copy as soon as it is made."""

    def __init__(self, inner: Any, theirs: bytes) -> None:
        super().__init__(inner)
        self.theirs, self.deleted = theirs, list[str]()

    @property
    def extras(self) -> Extras:
        return replace(self.wrapped, copy_and_read=self._copy_and_read, copy=self._copy)

    def _copy_and_read(self, source: str, destination: str, **about: Any) -> CopiedAndRead:
        made: CopiedAndRead = self.inner.extras.copy_and_read(source, destination, **about)
        self.inner.put(destination, self.theirs, key="of-somebody-else")
        return replace(made, copy=f"{crc64nvme(self.theirs):016x}")

    def _copy(self, source: str, destination: str, **about: Any) -> Entry:
        made: Entry = self.inner.extras.copy(source, destination, **about)
        self.inner.put(destination, self.theirs, key="of-somebody-else")
        return made

    def delete(self, path: str) -> None:
        self.deleted.append(path)
        super().delete(path)


@pytest.mark.parametrize("size", [1000, TINY + 1])
def test_what_somebody_else_has_put_in_the_place_of_a_copy_is_not_removed(
    lab: Lab, noise: Callable[..., bytes], size: int
) -> None:
    layer = SomebodyElse(MEMORY.build(MEMORY.options()), noise(size, 2))
    layer.put("a", noise(size, 1))
    lab.add("mem", layer)
    lab.start()
    failed = lab.run(("mem:/a", "mem:/b"), verify="reread")
    assert (failed.state, failed.cause.code) == (TransferState.FAILED, "already-exists")
    assert layer.deleted == []
    assert b"".join(bytes(piece) for piece in layer.read("b")) == layer.theirs


def test_a_tiny_copy_inside_a_storage_replaces_nothing_unasked(lab: Lab) -> None:
    layer = WrongCopies(MEMORY.build(MEMORY.options()))
    layer.put("a", b"new")
    layer.put("b", b"old")
    lab.add("mem", layer)
    lab.start()
    failed = lab.run(("mem:/a", "mem:/b"))
    assert (failed.state, failed.cause.code) == (TransferState.FAILED, "already-exists")
    assert (layer.made, layer.deleted) == ([], [])
    assert b"".join(bytes(piece) for piece in layer.read("b")) == b"old"


def test_tiny_files_of_a_local_folder_are_synced_together_and_larger_ones_by_themselves(
    lab: Lab, noise: Callable[..., bytes]
) -> None:
    root = lab.posix("lab")
    (root / "run").mkdir()
    right = {f"{size}": noise(size) for size in (0, *range(1000, 1030), TINY, TINY + 1)}
    for name, data in right.items():
        (root / "run" / name).write_bytes(data)
    lab.start()
    done = lab.run(("lab:/run/", "lab:/copy/"))
    assert (done.state, done.proof) == (TransferState.DONE, Proof.A)
    assert {path.name: path.read_bytes() for path in (root / "copy").iterdir()} == right
    totals = lab.meters["lab"].totals()
    assert totals["copy"].calls == 1, "of the large one"
    assert 0 < totals["sync"].calls < 10


class WrittenToMeanwhile(Layer):
    """A storage that cannot rename, and whose files somebody writes to while they are copied."""

    @property
    def extras(self) -> Extras:
        return replace(self.wrapped, move=None, copy=self._copy)

    def _copy(self, source: str, destination: str, **about: Any) -> Entry:
        made: Entry = self.inner.extras.copy(source, destination, **about)
        self.inner.put(source, b"newer")
        return made


def test_a_file_that_is_written_to_while_it_is_moved_is_kept() -> None:
    layer = WrittenToMeanwhile(MEMORY.build(MEMORY.options()))
    layer.put("a", b"older")
    with pytest.raises(SourceChanged):
        _moved(SimpleNamespace(name="mem", backend=layer), "a", "b", True)  # type: ignore[arg-type]
    assert [b"".join(bytes(piece) for piece in layer.read(name)) for name in "ab"] == [b"newer", b"older"]
