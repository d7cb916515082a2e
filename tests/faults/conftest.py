"""Real servers, one of each for the run, and gateways that reach them over a bad network."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from scigate.storage_backends.pace import Pace
from scigate.storage_backends.testing import servers
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.wire import Pool

from .ground import Ground
from .local import mounts, program, quick, stand

__all__ = ["mounts", "program", "quick", "stand"]

STALL = timedelta(seconds=1.5)


@pytest.fixture(scope="session")
def seaweedfs(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("seaweedfs")


@pytest.fixture(scope="session")
def rclone_s3(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("rclone_s3")


@pytest.fixture(scope="session")
def moto_s3(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("moto_s3")


@dataclass(frozen=True)
class WebServer:
    """A web server with the files of a folder."""

    url: str
    folder: Path


@pytest.fixture(scope="session")
def rclone_http(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path]) -> Iterator[WebServer]:
    """``rclone serve http``: ranges and Last-Modified, no ETag, no digest."""
    folder = tmp_path_factory.mktemp("web")
    (port,) = servers.free_ports(1)
    command = [require("rclone"), "serve", "http", folder, "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "0s"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = WebServer(f"http://127.0.0.1:{port}", folder)
        _wait_for(server.url)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    pytest.fail(f"no answer from {url}", pytrace=False)


@pytest.fixture(scope="module")
def soon() -> Iterator[None]:
    """Retries and rests as ever, only sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scigate.gateway_api.transfers.machine.FIRST_DELAY", 0.1)
        patch.setattr("scigate.gateway_api.transfers.machine.LONGEST_DELAY", 0.5)
        patch.setattr("scigate.gateway_api.transfers.scheduler.FIRST_REST", 0.2)
        patch.setattr("scigate.gateway_api.transfers.scheduler.LONGEST_REST", 0.5)
        patch.setattr("scigate.gateway_api.transfers.engine.TICK", 0.05)
        yield


@pytest.fixture(scope="module")
def short_stalls() -> Iterator[None]:
    """What does not move is given up as ever, only sooner."""
    with pytest.MonkeyPatch.context() as patch:
        pool = partial(Pool, stall=STALL, connect_timeout=STALL, pace=Pace(window=STALL))
        for module in ("storage_backends.s3", "storage_backends.http", "gateway_api.wiring"):
            patch.setattr(f"scigate.{module}.Pool", pool)
        patch.setattr("scigate.storage_backends.s3_control.CONTROL_READ_TIMEOUT", STALL.total_seconds())
        yield


@pytest.fixture
def ground(tmp_path: Path, soon: None) -> Iterator[Ground]:
    """A gateway without storages, not started; it ends with the test."""
    made = Ground(tmp_path)
    yield made
    made.stop()
