"""Downloads of files: no byte that differs from what the storage vouches for comes as part of a whole."""

from __future__ import annotations

import pytest
from scigate.gateway_api.actor import Actor
from scigate.gateway_api.downloads.downloads import Downloads
from scigate.gateway_api.settings import LimitsSection, StorageSection
from scigate.gateway_api.storages import OpenStorage, Storages
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import DigestMismatch
from scigate.storage_backends.layers import Fault, Meter, compose
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.registry import BackendRegistry

ADA, SIZE = Actor("ada", "Ada"), 3 * MiB


def downloads(*faults: Fault) -> Downloads:
    backend = MEMORY.build(MEMORY.options())
    backend.put("f", b"x" * SIZE)
    section = StorageSection(type="memory", users=("*",))
    storages = Storages({"lab": section}, BackendRegistry())
    opened = compose(backend, faults=faults)
    storages._open["lab"] = OpenStorage("lab", "memory", opened, Meter(), section, opened.limits)
    return Downloads(storages, LimitsSection())


def received(downloads: Downloads, offset: int, length: int) -> int:
    got = 0
    for buffer in downloads.file(ADA, "lab", "f").read(offset, length):
        got += len(buffer)
    return got


def test_what_is_right_comes_whole_and_in_parts() -> None:
    assert received(downloads(), 0, SIZE) == SIZE
    assert received(downloads(), 1, SIZE - 1) == SIZE - 1


@pytest.mark.parametrize("flip", [0, SIZE - 1])
def test_of_a_file_with_a_flipped_bit_the_end_does_not_come(flip: int) -> None:
    found = downloads(Fault("read", flip=flip)).file(ADA, "lab", "f")
    got = 0
    with pytest.raises(DigestMismatch):
        for buffer in found.read(0, SIZE):
            got += len(buffer)
    assert got < SIZE
