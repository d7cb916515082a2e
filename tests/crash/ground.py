"""What all runs of a session share: sources on disk, on a web server and in a bucket, and a real S3 server."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from scigate.storage_backends.testing.servers import S3Server, program

from tests import processes
from tests.processes import free_port

from .case import Bucket, Content

MB: Final = 1_000_000
LARGE: Final = {"large-31.bin": 31 * MB, "large-47.bin": 47 * MB, "large-80.bin": 80 * MB}
SMALL: Final = {"zero.bin": 0, "one.bin": 1, "small.bin": 50_000, "mid.bin": 5 * MB, "over.bin": 9 * MB}
FOLDER: Final = "many/"
FOLDER_FILES: Final = 300
TOKEN: Final = f"token-of-the-crash-tests-{'x' * 16}"
SOURCES: Final = "sources/"
LEASE: Final = 3  # seconds
LONG_LEASE: Final = 600  # seconds: who loses it begins anew; who is dead is found out without it
EXPIRES: Final = 120  # seconds without a byte: more than a busy machine keeps a sender from sending
EXPIRES_SOON: Final = 9  # where that is what the run is about


@dataclass(frozen=True)
class Ground:
    """``contents``: path below ``lab`` (and below ``sources/`` of the bucket) → what is there."""

    folder: Path
    lab: Path
    contents: dict[str, Content]
    bucket: Bucket
    web_port: int

    @property
    def many(self) -> list[str]:
        return [path for path in self.contents if path.startswith(FOLDER)]


@contextmanager
def ground(folder: Path, server: S3Server) -> Iterator[Ground]:
    """Everything above, running; the bucket of ``server`` is empty."""
    lab = folder / "lab"
    contents = _make_sources(lab)
    bucket = Bucket(server.endpoint, server.access_key, server.secret_key, server.bucket)
    client = bucket.client()
    for path in contents:
        client.put_object(Bucket=bucket.bucket, Key=SOURCES + path, Body=(lab / path).read_bytes())
    (folder / "secret").write_text(server.secret_key)
    with _web_server(lab, folder / "web.log") as port:
        yield Ground(folder, lab, contents, bucket, port)


def _make_sources(lab: Path) -> dict[str, Content]:
    rng = random.Random(20_26)
    sizes = dict(LARGE | SMALL)
    for number in range(FOLDER_FILES):
        sizes[f"{FOLDER}{number % 7}/f{number:03}"] = rng.choice([0, 1, 100, 4096, rng.randrange(20_000)])
    contents = {}
    for path, size in sizes.items():
        (lab / path).parent.mkdir(parents=True, exist_ok=True)
        data = rng.randbytes(size)
        (lab / path).write_bytes(data)
        contents[path] = Content(sha256(data).hexdigest(), size)
    return contents


@contextmanager
def _web_server(root: Path, log: Path) -> Iterator[int]:
    port = free_port()
    command = [
        str(program("rclone")),
        "serve",
        "http",
        str(root),
        "--addr",
        f"127.0.0.1:{port}",
        "--config",
        "/dev/null",
    ]
    setpriv = shutil.which("setpriv")
    with log.open("wb") as out:
        wrapped = [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command
        process = subprocess.Popen(wrapped, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _await_port(port)
        yield port
    finally:
        processes.stop(process)


def _await_port(port: int) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@dataclass(frozen=True)
class World:
    """The storages, the database and the settings of one run."""

    ground: Ground
    folder: Path
    port: int
    bucket: Bucket
    database: str

    @property
    def desk(self) -> Path:
        return self.folder / "desk"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config(self) -> Path:
        return self.folder / "scigate.toml"

    @property
    def other_config(self) -> Path:
        """Of a second gateway on the same database, with a folder and a port of its own."""
        return self.folder / "other.toml"

    def lease(self, seconds: int) -> None:
        """From the next gateway on a lease is that long."""
        self.config.write_text(
            self.config.read_text().replace(f"lease_seconds = {LEASE}\n", f"lease_seconds = {seconds}\n")
        )

    def key(self, path: str) -> str:
        """Where the storage ``cloud`` keeps ``path`` in the bucket."""
        return self.bucket.prefix + path


def make_world(ground: Ground, folder: Path, database: str | None, expires: int = EXPIRES) -> World:
    """Empty storages of its own; ``database`` None is SQLite in the gateway's folder."""
    folder.mkdir(parents=True)
    (folder / "desk").mkdir()
    bucket = Bucket(**{**vars(ground.bucket), "prefix": f"{folder.name}/"})
    url = database or f"sqlite:///{folder}/state/scigate.db"
    world = World(ground, folder, free_port(), bucket, url)
    (folder / "database-url").write_text(url)
    world.config.write_text(_settings(world, world.port, world.state, expires))
    world.other_config.write_text(_settings(world, free_port(), folder / "other-state", expires))
    return world


def settings_of(world: World, state: Path) -> str:
    """The settings of one more gateway on the same database, with a folder and a port of its own."""
    return _settings(world, free_port(), state, EXPIRES)


def _settings(world: World, port: int, state: Path, expires: int) -> str:
    def s3(prefix: str) -> str:
        bucket = world.bucket
        return f"""type = "s3"
bucket = "{bucket.bucket}"
prefix = "{prefix}"
endpoint = "{bucket.endpoint}"
access_key = "{bucket.access_key}"
secret_key = {{ file = {json.dumps(str(world.ground.folder / "secret"))} }}
part_size = 5242880
"""

    return f"""
[gateway]
port = {port}
state_dir = {json.dumps(str(state))}
[database]
url = {{ file = {json.dumps(str(world.folder / "database-url"))} }}
[storages.lab]
type = "posix"
root = {json.dumps(str(world.ground.lab))}
[storages.desk]
type = "posix"
root = {json.dumps(str(world.desk))}
[storages.pool]
{s3(SOURCES)}
[storages.cloud]
{s3(world.bucket.prefix)}
[storages.all]
{s3("")}
[users.ada]
token_hash = "sha256:{sha256(TOKEN.encode()).hexdigest()}"
[egress]
allow = ["127.0.0.1:{world.ground.web_port}"]
[limits]
reconcile_seconds = 1
lease_seconds = {LEASE}
upload_expires = "{expires}s"
"""
