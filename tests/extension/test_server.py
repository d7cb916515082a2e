"""Real Jupyter Servers, each a process of its own, with the extension as its installation enables it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.extension.announcement import Announcement
from scigate.gateway_api.client import Gateway

from tests import processes

from .conftest import TOKEN, VARIABLES

MiB = 1 << 20
JUPYTER_TOKEN = "token-of-the-jupyter-server"
JUPYTER_FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
OTHERS = ("jupyterlab", "notebook", "notebook_shim", "voila.server_extension", "jupyter_lsp",
          "jupyter_server_terminals")  # fmt: skip
"""What is installed here too, and takes its time."""


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def client(self) -> httpx.Client:
        base = f"http://127.0.0.1:{self.port}/base/scigate/"
        return httpx.Client(base_url=base, headers={"Authorization": f"token {JUPYTER_TOKEN}"}, timeout=60)

    def memory(self, name: str) -> int:
        """``VmRSS`` or, since it was last reset, the peak ``VmHWM``, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise AssertionError(name)

    def reset_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def wait(self) -> None:
        with self.client() as client:
            for _ in range(4800):
                assert self.process.poll() is None, self.log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    client.post("session")
                    return
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def begin(port: int, state: Path, root: Path | None = None, **variables: str) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        (folder / "root").mkdir(parents=True)
        env = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        paths = {name: str(folder / name.lower()) for name in ("HOME", *JUPYTER_FOLDERS)}
        only_ours = {"ServerApp": {"jpserver_extensions": dict.fromkeys(OTHERS, False)}}
        (folder / "jupyter_config_dir").mkdir()
        (folder / "jupyter_config_dir" / "jupyter_server_config.json").write_text(json.dumps(only_ours))
        options = {"base_url": "/base/", "port": port, "port_retries": 0, "root_dir": root or folder / "root"}
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--debug",
                   *(f"--ServerApp.{name}={value}" for name, value in options.items()),
                   f"--ScigateExtension.state_dir={state}"]  # fmt: skip
        env |= {"JUPYTER_TOKEN": JUPYTER_TOKEN} | paths | variables
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.append(Server(process, port, folder / "log"))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
    for server in started:
        server.process.wait(120)


def blocks(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 251]) * MiB


def test_what_streams_through_is_never_in_memory(
    service: Any, start: Callable[..., Server], free_port: int, tmp_path: Path
) -> None:
    server = start(free_port, tmp_path / "state", SCIGATE_URL=service.url, JUPYTERHUB_API_TOKEN=TOKEN)
    server.wait()
    with server.client() as client:
        client.put("api/v1/files/lab/small", content=b"x")
        server.reset_peak()
        before = server.memory("VmHWM")
        sent = client.put("api/v1/files/lab/big", content=blocks(64), headers={"Content-Length": str(64 * MiB)})
        assert sent.status_code == 202, sent.text
        for _ in range(2400):
            if (service.lab / "big").exists():
                break
            time.sleep(0.05)
        with client.stream("GET", "api/v1/files/lab/big") as answer:
            size = 0
            for piece in answer.iter_raw():
                size += len(piece)
        assert size == (service.lab / "big").stat().st_size == 64 * MiB
        assert server.memory("VmHWM") - before < 16 * MiB
    for secret in (TOKEN, JUPYTER_TOKEN):
        assert secret not in server.log.read_text().replace(f"?token={JUPYTER_TOKEN}", "")


@pytest.fixture
def slow_web() -> Iterator[str]:
    """``host:port`` of a web server whose file comes so slowly that it never ends here."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 30))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)
                    time.sleep(0.05)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_without_stop_hooks_gives_back_what_was_moving(
    start: Callable[..., Server], free_port: int, tmp_path: Path, slow_web: str
) -> None:
    """SIGINT without a terminal: Jupyter Server ends without calling anybody."""
    (tmp_path / "scigate.toml").write_text(f'[egress]\nallow = ["{slow_web}"]\n')
    settings = {"SCIGATE_CONFIG": str(tmp_path / "scigate.toml")}
    one = start(free_port, tmp_path / "state", **settings)
    one.wait()
    with one.client() as client:
        files = [{"source": f"http://{slow_web}/big", "destination": "home:/big"}]
        id = client.post("api/v1/transfers", json={"files": files}).json()["transfer"]["id"]
        for _ in range(2400):
            if client.get(f"api/v1/transfers/{id}").json()["bytes_done"]:
                break
            time.sleep(0.05)
    one.process.send_signal(signal.SIGINT)
    one.process.wait(120)
    assert "a mistake of ours" not in one.log.read_text()
    two = start(processes.free_port(), tmp_path / "state", **settings)
    two.wait()
    with two.client() as client:
        seen = client.get(f"api/v1/transfers/{id}").json()
        assert (seen["files"]["failed"], seen["finished"]) == (0, None), seen
        client.post(f"api/v1/transfers/{id}/cancel")


def test_what_a_killed_server_was_sending_arrives(
    service: Any, start: Callable[..., Server], free_port: int, tmp_path: Path
) -> None:
    (root := tmp_path / "root").mkdir()
    (root / "big").write_bytes(data := os.urandom(MiB) * 100)
    hub = {"SCIGATE_URL": service.url, "JUPYTERHUB_API_TOKEN": TOKEN}
    server = start(free_port, tmp_path / "state", root, **hub)
    server.wait()
    with server.client() as client:
        files = [{"source": "home:/big", "destination": "lab:/big"}]
        sent = client.post("api/v1/transfers", json={"files": files})
    server.process.kill()
    server.process.wait()
    assert sent.status_code == 202, sent.text
    with Gateway(service.url, TOKEN) as gateway:
        handle = gateway.transfer(sent.json()["transfer"]["id"])
        start(processes.free_port(), tmp_path / "state", root, **hub)
        handle.wait(200, progress=False)
        assert len(list(gateway.transfers())) == 1
    assert (service.lab / "big").read_bytes() == data


def test_servers_share_a_gateway_and_survive_each_other(
    start: Callable[..., Server], free_port: int, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    one = start(free_port, state)
    one.wait()
    two = start(processes.free_port(), state)
    two.wait()
    token = Announcement(state).token
    with one.client() as first, two.client() as second:
        submitted = second.put("api/v1/files/home/shared.txt", content=b"shared")
        assert submitted.status_code == 202, submitted.text
        id = submitted.json()["transfer"]["id"]
        assert first.get(f"api/v1/transfers/{id}").status_code == 200
        assert (one.log.parent / "root" / "shared.txt").exists() or first.get(f"api/v1/transfers/{id}").json()
        one.process.kill()
        one.process.wait()
        assert second.get(f"api/v1/transfers/{id}").json()["id"] == id
        answers = _at_once(lambda: second.get("api/v1/status").status_code)
        assert answers == [200] * 8
        new = Announcement(state).token
        assert new is not None
        assert token is not None
        assert new != token
        told = second.post("session").json()
        assert told["user"]
    for log in (one.log, two.log):
        assert token not in log.read_text()
        assert new not in log.read_text()


def _at_once(ask: Callable[[], int]) -> list[int]:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
