"""A gateway with a posix and an S3 storage, and the file system of one of its users."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client.filesystem import ScigateFileSystem
from scigate.storage_backends.testing.servers import S3Server


@pytest.fixture(scope="session")
def service(start_gateway: Callable[..., Any], shared_server: Callable[[str], S3Server]) -> Iterator[Any]:
    """The storages ``lab`` (posix), ``cloud`` and ``direct`` (S3; clients are sent to the latter), ``frozen``
    (read-only) and ``hidden`` (only root's)."""
    s3, folder = shared_server("seaweedfs"), Path(tempfile.mkdtemp(prefix="scigate-fsspec-"))
    (folder / "frozen").mkdir()
    (folder / "frozen" / "ice").write_bytes(b"ice")
    try:
        (folder / "s3-secret").touch(0o600)
        (folder / "s3-secret").write_text(s3.secret_key)
        extra = f"""
[storages.cloud]
type = "s3"
endpoint = "{s3.endpoint}"
bucket = "{s3.bucket}"
region = "{s3.region}"
access_key = "{s3.access_key}"
secret_key = {{ file = {json.dumps(str(folder / "s3-secret"))} }}

[storages.direct]
type = "s3"
endpoint = "{s3.endpoint}"
bucket = "{s3.bucket}"
region = "{s3.region}"
prefix = "direct/"
access_key = "{s3.access_key}"
secret_key = {{ file = {json.dumps(str(folder / "s3-secret"))} }}
presign_downloads = true

[storages.frozen]
type = "posix"
root = {json.dumps(str(folder / "frozen"))}
read_only = true
"""
        with start_gateway(folder, extra) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def environment(service: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process, and those it starts, find the gateway as ada."""
    found: dict[str, str] = service.environment("ada")
    for name in ("SCIGATE_CONFIG", "SCIGATE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def fs() -> ScigateFileSystem:
    return ScigateFileSystem()


@pytest.fixture(params=["lab", "cloud"])
def place(request: pytest.FixtureRequest, fs: ScigateFileSystem, tmp_path: Path) -> str:
    """A path of its own for each test, at each kind of storage."""
    return f"{request.param}/{tmp_path.name}"
