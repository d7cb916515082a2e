"""Real S3 servers, one of each for the whole run; every test takes a prefix or bucket of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from scigate.storage_backends.testing import servers
from scigate.storage_backends.testing.servers import S3Server, ServerMissing

STRICT: Final = any(os.environ.get(name, "").lower() in ("1", "true") for name in ("SCIGATE_REQUIRE_SERVERS", "CI"))

Starter: TypeAlias = Callable[[Path], AbstractContextManager[S3Server]]


def _run(starter: Starter, folder: Path) -> Iterator[S3Server]:
    try:
        starting = starter(folder)
        server = starting.__enter__()
    except ServerMissing as missing:
        if STRICT:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _run(servers.seaweedfs, tmp_path_factory.mktemp("seaweedfs"))


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _run(servers.rclone_s3, tmp_path_factory.mktemp("rclone"))


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _run(servers.moto_s3, tmp_path_factory.mktemp("moto"))


@pytest.fixture(scope="session", params=["seaweedfs", "rclone_s3", "moto_s3"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each server in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server
