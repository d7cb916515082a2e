"""A real gateway for tests: ``scigate serve`` as a process of its own, on a free loopback port."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.processes import await_answer, free_port, stop

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ada", "bo", "root")}
COMMAND = "from scigate.gateway_api.cli import main; main()"


@dataclass(frozen=True)
class RunningGateway:
    """A gateway process, its folder, and how to reach it."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    web_port: int
    """A server on this port of 127.0.0.1 may be a source: its administrator allows it."""

    @property
    def config(self) -> Path:
        return self.folder / "scigate.toml"

    def files(self, storage: str) -> Path:
        """Where the storages ``lab`` and ``archive`` keep their files."""
        return self.folder / storage

    def environment(self, user: str | None = "ada") -> dict[str, str]:
        """The variables with which a command line of this user reaches it, and nothing of the real user's."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "SCIGATE_URL": self.url, "LANG": "C.UTF-8"}
        return own | ({"SCIGATE_TOKEN": TOKENS[user]} if user else {})


@pytest.fixture(scope="session")
def start_gateway() -> Callable[..., object]:
    """``with start_gateway(folder) as gateway`` runs one; ``extra`` is TOML that is added to its settings."""
    return _gateway


@pytest.fixture(scope="session")
def gateway_process() -> Iterator[RunningGateway]:
    """A gateway with the storages ``lab`` and ``archive`` (posix), ``mem`` (memory) and ``hidden`` (only root's),
    and the users ada, bo and root (an admin). Shared by the tests of a run: use paths of your own."""
    folder = Path(tempfile.mkdtemp(prefix="scigate-gateway-"))
    try:
        with _gateway(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slow_url(gateway_process: RunningGateway) -> Iterator[str]:
    """The URL of a file of 100 MB whose server gives a KiB every 20 milliseconds."""
    stopped = threading.Event()

    class Trickle(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(100_000_000))
            self.send_header("ETag", '"slow"')
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            with contextlib.suppress(OSError):
                while not stopped.wait(0.02):
                    self.wfile.write(b"s" * 1024)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", gateway_process.web_port), Trickle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/slow"
        stopped.set()
        server.shutdown()


@contextmanager
def _gateway(folder: Path, extra: str = "", port: int | None = None) -> Iterator[RunningGateway]:
    port, web_port = port or free_port(), free_port()
    (folder / "scigate.toml").write_text(_settings(folder, port, web_port) + extra)
    log = folder / "gateway.log"
    command = [sys.executable, "-c", COMMAND, "serve", "--config", str(folder / "scigate.toml")]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        await_answer(f"{url}/readyz", process, log)
        yield RunningGateway(url, folder, process, web_port)
    finally:
        stop(process)


def _settings(folder: Path, port: int, web_port: int) -> str:
    def quoted(path: Path) -> str:
        path.mkdir(exist_ok=True)
        return json.dumps(str(path))

    users = "".join(
        f'[users.{name}]\ntoken_hash = "sha256:{sha256(token.encode()).hexdigest()}"\n'
        + ('roles = ["user", "admin"]\n' if name == "root" else "")
        for name, token in TOKENS.items()
    )
    return f"""
[gateway]
port = {port}
state_dir = {json.dumps(str(folder / "state"))}

[storages.lab]
type = "posix"
root = {quoted(folder / "lab")}
summary = "A folder"

[storages.archive]
type = "posix"
root = {quoted(folder / "archive")}

[storages.mem]
type = "memory"

[storages.hidden]
type = "memory"
users = ["root"]

[egress]
allow = ["127.0.0.1:{web_port}"]

{users}
"""
