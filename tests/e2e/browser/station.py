"""Where a person of the tests goes to: a hub or a JupyterLab, with what tests look at behind it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
from scigate.gateway_api.demo.jupyter import Home
from scigate.storage_backends.testing.servers import S3Server


@dataclass(frozen=True, slots=True)
class Station:
    """The demo's processes and storages."""

    folder: Path
    home: Home
    s3: S3Server
    web: str

    @property
    def origin(self) -> str:
        return "/".join(self.home.url.split("/")[:3])

    def home_of(self, name: str) -> Path:
        """The home directory of a user; of the only one without a hub."""
        return self.home.folder / name if name else self.home.folder

    def digest(self, key: str) -> str | None:
        """SHA-256 of an object, as the S3 server gives it; None if it is not there."""
        client = self.s3.client()
        try:
            return sha256(client.get_object(Bucket=self.s3.bucket, Key=key)["Body"].read()).hexdigest()
        except client.exceptions.NoSuchKey:
            return None

    def gateways(self) -> list[psutil.Process]:
        """The processes that serve the gateway of the hub (not who supervises them)."""
        return [process for process in self._processes() if _is_gateway(process)]

    def kill_gateway(self) -> None:
        """``kill -9``, as a crash would."""
        for process in self.gateways():
            os.kill(process.pid, signal.SIGKILL)

    def _processes(self) -> Iterator[psutil.Process]:
        yield from psutil.Process(self.home.pid).children(recursive=True)


def _is_gateway(process: psutil.Process) -> bool:
    try:
        return "serve" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def until(condition: Any, what: str, seconds: float = 120.0) -> Any:
    """Wait for a condition, and return what it gave; fails with ``what`` when it does not come."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.2)
    return found
