"""The demo's storages and its gateway: real processes on loopback, with all they keep in one folder."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from scigate.storage_backends.testing.servers import S3Server, free_ports

START_SECONDS: Final = 240.0
STOP_SECONDS: Final = 20.0
LOCK: Final = "lock"
COMMAND: Final = "from scigate.gateway_api.cli import main; main()"
SETTINGS: Final = """\
# Written by 'scigate demo'; every key is explained in docs/reference/configuration.md.
[gateway]
port = {port}
state_dir = {state}

[storages.lab]
type = "posix"
root = {lab}
summary = "A folder of this machine"

[storages.archive]
type = "s3"
endpoint = {endpoint}
bucket = {bucket}
region = {region}
access_key = {access_key}
secret_key = {{ file = {secret_file} }}
summary = "SeaweedFS, an S3 server on this machine"

[users.demo]
token_hash = "sha256:{token_hash}"
roles = ["user", "admin"]

[egress]
allow = [{web}]
"""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Service:
    """``scigate serve`` as a process of its own, how to reach it, and how to make it suffer."""

    def __init__(self, url: str, token_file: Path, config: Path, log: Path) -> None:
        self.url, self.token_file = url, token_file
        self._config, self._log = config, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. ``DemoFailed`` if it does not."""
        command = [sys.executable, "-c", COMMAND, "serve", "--config", str(self._config)]
        if setpriv := shutil.which("setpriv"):  # it goes down with us, even when we are killed
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with self._log.open("ab") as out:
            # A process group of its own: Ctrl-C reaches us first, and we end it in order.
            self._process = subprocess.Popen(  # noqa: S603 our own program
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )
        _wait_until_ready(self.url, self._process, self._log)

    def crash(self) -> None:
        """End it like a crash would: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:  # it was never started
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    """An empty folder for this demo alone, removed at the end; what a killed demo left is removed first."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(path)
    except PermissionError:
        advice = "run the demo in a folder of your own, or have its owner remove it"
        raise DemoFailed(f"you may not write to {path}: {advice}") from None
    try:
        _empty(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int:
    """Only a folder that a demo has made is ever emptied, and never that of a running one."""
    if any(folder.iterdir()) and not (folder / LOCK).exists():
        raise DemoFailed(f"{folder} holds files that are not the demo's: move them, or run the demo elsewhere")
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DemoFailed(f"another demo is running in {folder}; end it with Ctrl-C first") from None
    return lock


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def require_space(folder: Path, needed: int) -> None:
    """Say how much is missing before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DemoFailed(
            f"the demo needs {needed / 2**30:.1f} GiB of disk in {folder}, and {free / 2**30:.1f} GiB are free; "
            "free some, or run it in a folder on another disk"
        )


@contextmanager
def gateway(folder: Path, lab: Path, s3: S3Server, web: str) -> Iterator[Service]:
    """``scigate serve`` as a process of its own, with a new token for the user ``demo``."""
    token_file = folder / "token"
    token = secrets.token_hex(32)
    write_private(token_file, token)
    write_private(folder / "s3-secret", s3.secret_key)
    (port,) = free_ports(1)
    config = folder / "scigate.toml"
    write_private(config, _settings(folder, lab, s3, web, port=port, token=token))
    service = Service(f"http://127.0.0.1:{port}", token_file, config, folder / "gateway.log")
    try:
        service.start()
        yield service
    finally:
        service.stop()


def _settings(folder: Path, lab: Path, s3: S3Server, web: str, *, port: int, token: str) -> str:
    values = {
        "state": folder / "state",
        "lab": lab,
        "endpoint": s3.endpoint,
        "bucket": s3.bucket,
        "region": s3.region,
        "access_key": s3.access_key,
        "secret_file": folder / "s3-secret",
        "web": urlsplit(web).netloc,
    }
    quoted = {name: json.dumps(str(value)) for name, value in values.items()}
    return SETTINGS.format(port=port, token_hash=sha256(token.encode()).hexdigest(), **quoted)


def write_private(path: Path, text: str) -> None:
    """Only its owner can read it, from the first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if _is_ready(url):
            return
        time.sleep(0.05)
    raise DemoFailed(f"the gateway did not start; it said:\n{log.read_text(errors='replace')[-4000:]}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310 our own gateway
            return True
    except OSError:  # nobody listens yet, or it says 503
        return False
