"""The conformance suite on every backend and on real servers; on web servers it runs in ``test_http``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scigate.storage_backends.backend import Backend
from scigate.storage_backends.layers import Meter, compose
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.memory import MemoryOptions
from scigate.storage_backends.posix import TYPE as POSIX
from scigate.storage_backends.posix import PosixOptions
from scigate.storage_backends.testing.case import Seed
from scigate.storage_backends.testing.pytest_suite import BackendConformance


class TestMemory(BackendConformance):
    many = 12_000

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        options = MemoryOptions()
        return lambda: MEMORY.build(options)


class TestPosix(BackendConformance):
    many = 3_000

    @pytest.fixture
    def open_backend(self, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: POSIX.build(PosixOptions(root=str(tmp_path)))


class TestLayers(BackendConformance):
    """All layers at once change nothing that a caller can see."""

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        options = MemoryOptions()
        return lambda: compose(MEMORY.build(options), min_rate=1, meter=Meter(), concurrency=3, folder="home/ada/")


class TestReadOnlyLayer(BackendConformance):
    @pytest.fixture
    def options(self) -> MemoryOptions:
        return MemoryOptions()

    @pytest.fixture
    def open_backend(self, options: MemoryOptions) -> Callable[[], Backend]:
        return lambda: compose(MEMORY.build(options), read_only=True)

    @pytest.fixture
    def seed(self, options: MemoryOptions) -> Seed:
        return lambda path, data: (MEMORY.build(options).put(path, data), None)[1]
