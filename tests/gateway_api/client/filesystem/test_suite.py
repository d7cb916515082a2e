"""fsspec's own tests of a file system, on a posix and on an S3 storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from posixpath import join
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests import abstract
from scigate.gateway_api.client.filesystem import ScigateFileSystem


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    """What the suite asks of the file system under test."""

    storage: str

    @pytest.fixture
    def fs(self, environment: dict[str, str]) -> ScigateFileSystem:
        return ScigateFileSystem()

    @pytest.fixture
    def fs_path(self, fs: ScigateFileSystem, tmp_path: Path) -> Any:
        path = f"{self.storage}/{tmp_path.name}"
        fs.makedirs(path)
        return path

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return join

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return True


class OnPosix(Fixtures):
    storage = "lab"

    @pytest.fixture
    def fs_glob_edge_cases_files(self, service: Any, fs_path: str) -> str:
        """What the many cases of patterns find; laid into the folder: how files come there is tested by others."""
        folder = LocalFileSystem(auto_mkdir=True)
        self._glob_edge_cases_files(folder, join, str(service.files(self.storage).parent / fs_path))
        return join(fs_path, "source")


class OnS3(Fixtures):
    """Without the many cases of patterns: those are worked out from listings, the same on every storage."""

    storage = "cloud"


class TestCopyOnPosix(abstract.AbstractCopyTests, OnPosix):  # type: ignore[misc]
    pass


class TestCopyOnS3(abstract.AbstractCopyTests, OnS3):  # type: ignore[misc]
    test_copy_glob_edge_cases = None


class TestGetOnPosix(abstract.AbstractGetTests, OnPosix):  # type: ignore[misc]
    pass


class TestGetOnS3(abstract.AbstractGetTests, OnS3):  # type: ignore[misc]
    test_get_glob_edge_cases = None


class TestPutOnPosix(abstract.AbstractPutTests, OnPosix):  # type: ignore[misc]
    pass


class TestPutOnS3(abstract.AbstractPutTests, OnS3):  # type: ignore[misc]
    test_put_glob_edge_cases = None


class TestOpenOnPosix(abstract.AbstractOpenTests, OnPosix):  # type: ignore[misc]
    pass


class TestOpenOnS3(abstract.AbstractOpenTests, OnS3):  # type: ignore[misc]
    pass


class TestPipeOnPosix(abstract.AbstractPipeTests, OnPosix):  # type: ignore[misc]
    pass


class TestPipeOnS3(abstract.AbstractPipeTests, OnS3):  # type: ignore[misc]
    pass
