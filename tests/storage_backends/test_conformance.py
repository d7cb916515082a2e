"""The conformance suite on every backend and on real servers; on web servers it runs in ``test_http``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from scigate.storage_backends.backend import Backend
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.layers import Meter, compose
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.memory import MemoryOptions
from scigate.storage_backends.posix import TYPE as POSIX
from scigate.storage_backends.posix import PosixOptions
from scigate.storage_backends.registry import connect_directly
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.s3_options import S3Options
from scigate.storage_backends.s3_probe import PROBE
from scigate.storage_backends.testing.case import Case, Seed
from scigate.storage_backends.testing.deviations import DEVIATIONS
from scigate.storage_backends.testing.pytest_suite import BackendConformance
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3

from tests.evidence import record


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


def open_s3(server: S3Server, name: str) -> Backend:
    options = S3Options(
        bucket=server.bucket,
        prefix=f"{name} ä+/",
        endpoint=server.endpoint,
        region=server.region,
        access_key=server.access_key,
        secret_key=Secret(server.secret_key),
        addressing="path",
    )
    backend = S3Backend(options, connect_directly)
    backend.probe()
    return backend


class OnS3(BackendConformance):
    """A prefix of its own in the bucket of a real server."""

    many = 1_100  # more than one page of a listing

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> S3Server:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, server: S3Server) -> Backend:
        return open_s3(server, cls.__name__)

    @pytest.fixture(scope="class")
    @classmethod
    def open_backend(cls, server: S3Server) -> Callable[[], Backend]:
        """One further client, opened once: setting up boto3 takes longer than most cases."""
        return cache(lambda: open_s3(server, cls.__name__))

    @pytest.fixture
    def secrets(self, server: S3Server) -> tuple[str, ...]:
        return (server.secret_key,)


class TestSeaweedFS(OnS3):
    deviations = DEVIATIONS["seaweedfs"]

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, seaweedfs: S3Server) -> S3Server:
        return seaweedfs


class TestStrictS3(OnS3):
    """Before SeaweedFS stands what AWS refuses and SeaweedFS does not: nothing may deviate here, and no request of
    ours may break a rule."""

    refused: ClassVar = {
        "",
        "BadDigest",
        "InvalidPart",
        "InvalidRange",
        "NoSuchKey",
        "NoSuchUpload",
        "PreconditionFailed",
    }
    """What cases ask for on purpose; an ``EntityTooSmall`` is what ``publish.short-block`` asks for."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, strict_seaweedfs: StrictS3) -> S3Server:
        return strict_seaweedfs.server

    @pytest.fixture(autouse=True)
    def judged(self, strict_seaweedfs: StrictS3, backend: Backend, case: Case) -> Iterator[None]:
        strict_seaweedfs.seen.clear()
        begun = time.monotonic()
        yield
        seconds, seen = time.monotonic() - begun, strict_seaweedfs.seen
        allowed = self.refused | ({"EntityTooSmall"} if case.name == "publish.short-block" else set())
        ours = (one for one in seen if PROBE not in one.key)  # a probe finds out what is refused
        bad = [f"{one.operation}: {one.code}" for one in ours if one.code not in allowed] + strict_seaweedfs.lies
        if case.claim(backend):
            record("strict.s3", runs=1, bad=len(bad), seconds=seconds, part="conformance")
        assert bad == []


class TestRclone(OnS3):
    deviations = DEVIATIONS["rclone"]

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, rclone_s3: S3Server) -> S3Server:
        return rclone_s3


class TestMoto(OnS3):
    deviations = DEVIATIONS["moto"]
    many = 100  # it lists slowly; the others show that pages are right

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, moto_s3: S3Server) -> S3Server:
        return moto_s3
