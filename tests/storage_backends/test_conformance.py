"""The conformance suite on every backend and on real servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scigate.storage_backends.backend import Backend
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.memory import MemoryOptions
from scigate.storage_backends.testing.pytest_suite import BackendConformance


class TestMemory(BackendConformance):
    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        options = MemoryOptions()
        return lambda: MEMORY.build(options)
