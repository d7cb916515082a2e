"""The demo's Jupyter beside others, of other users and of the same: it shares neither addresses nor files."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from scigate.gateway_api.demo import jupyter, show
from scigate.gateway_api.demo.service import DemoFailed
from scigate.storage_backends.testing.servers import S3Server
from traitlets.config.loader import PyFileConfigLoader

WRITTEN = """
from IPython.paths import get_ipython_dir
from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir
print(get_ipython_dir(), jupyter_config_dir(), jupyter_data_dir(), jupyter_runtime_dir(), sep="\\n")
"""


def test_two_users_can_have_a_hub_on_one_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first port that people open may be the same: who comes second finds it taken, and gets another one."""
    monkeypatch.setattr(jupyter, "_running", _never_running)
    mine, yours = (_addresses(tmp_path / name) for name in ("mine", "yours"))
    assert len(mine) == 3
    assert mine & yours == set()


def test_the_users_own_jupyter_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "own"))
    given: list[Mapping[str, str]] = []

    def running(*args: Any) -> Any:
        given.append(args[-1])
        return _never_running()

    monkeypatch.setattr(jupyter, "_running", running)
    folder = tmp_path / "demo"
    folder.mkdir()
    with jupyter.lab(folder, _storages(folder)):
        written = _said(WRITTEN, given[0]).splitlines()
        read = _said("from jupyter_core.paths import *; print(jupyter_path(), jupyter_config_path())", given[0])
    assert len(written) == 4
    assert [path for path in written if not Path(path).is_relative_to(folder)] == []
    assert str(tmp_path / "own") not in read


def test_the_gateway_in_jupyterlab_finds_its_storages_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    happened: list[str] = []

    def wait() -> None:
        time.sleep(0.2)
        happened.append("S3 is there")

    @contextmanager
    def starting(folder: Path) -> Iterator[tuple[S3Server, Any]]:
        yield S3Server("none", "http://127.0.0.1:1", "key", "secret", 1), wait

    @contextmanager
    def lab(*_: Any) -> Iterator[jupyter.Home]:
        happened.append("Jupyter starts")
        yield jupyter.Home("http://127.0.0.1:2/", {}, tmp_path, 1)

    monkeypatch.setattr(show, "starting_seaweedfs", starting)
    monkeypatch.setattr(jupyter, "lab", lab)
    monkeypatch.setattr(show, "_wait_for_the_end", lambda console: None)
    assert show._jupyter(Console(quiet=True), tmp_path, hub=False) == 0
    assert happened == ["S3 is there", "Jupyter starts"]


def test_ctrl_c_is_answered_before_what_takes_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out, before = io.StringIO(), []

    @contextmanager
    def starting(folder: Path) -> Iterator[tuple[S3Server, Any]]:
        yield S3Server("none", "http://127.0.0.1:1", "key", "secret", 1), lambda: None

    @contextmanager
    def hub(*_: Any) -> Iterator[jupyter.Home]:
        yield jupyter.Home("http://127.0.0.1:2/", {}, tmp_path, 1)
        before.append(out.getvalue())

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "starting_seaweedfs", starting)
    monkeypatch.setattr(jupyter, "hub", hub)
    monkeypatch.setattr(show.signal, "pause", interrupted)
    assert show._jupyter(Console(file=out), tmp_path, hub=True) == 0
    assert before[0].endswith("\nStopping…\n")


class Answering(BaseHTTPRequestHandler):
    """Answers everything, as somebody's server on the same port would."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header(jupyter.MARK, "mine")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_only_our_own_server_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "hub.log"
    log.write_text("the port is taken")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        jupyter._wait_until(jupyter.Ready(url, "mine", f"{url}then"), process, log)
        with pytest.raises(DemoFailed, match="another program answers at"):
            jupyter._wait_until(jupyter.Ready(url, "other"), process, log)
        process.communicate(b"\n", timeout=120)
        with pytest.raises(DemoFailed, match="the port is taken"):
            jupyter._wait_until(jupyter.Ready(url, "mine"), process, log)
        server.shutdown()


def _said(code: str, more: Mapping[str, str]) -> str:
    command, environment = [sys.executable, "-c", code], jupyter._environment(more)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def _storages(folder: Path) -> jupyter.Storages:
    return jupyter.Storages(folder, S3Server("none", "http://127.0.0.1:1", "key", "secret", 1), "http://127.0.0.1:2")


def _addresses(folder: Path) -> set[str]:
    folder.mkdir()
    with jupyter.hub(folder, _storages(folder)):
        c = PyFileConfigLoader("jupyterhub_config.py", path=str(folder / "hub")).load_config()
    return {c.JupyterHub.hub_bind_url, c.TraefikProxy.traefik_api_url, c.JupyterHub.services[0]["url"]}


@contextmanager
def _never_running(*_: Any) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(pid=1)
