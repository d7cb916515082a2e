"""A real JupyterHub with a gateway as its service, shared by the tests of a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scigate.hub_config import doctor_live
from scigate.hub_config.testing import Hub

TRY_EVERY = 600
"""Seconds until one more password may be tried for a user: more than a slow machine needs for ten tries."""
EXTRA = f"""
from scigate.hub_config import guessing
guessing.OF_USER_EVERY = {TRY_EVERY}.0
c.FileAuthenticator.auth_refresh_age = 1
"""
SETTINGS = """
[gateway]
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.mem]
type = "memory"
[storages.climate]
type = "memory"
users = ["community:vo-climate"]
[egress]
allow = ["{web}"]
"""


def make_hub(folder: Path, web: str, **options: Any) -> Hub:
    """A hub, not yet started: alice and bob of vo-climate, and carol, who curates it. ``web`` may be pulled from."""
    made = Hub(folder, curators={"vo-climate": "curators-climate"}, **options)
    (folder / "lab").mkdir()
    made.settings.write_text(SETTINGS.format(folder=folder, web=web))
    made.add_user("alice", "vo-climate")
    made.add_user("bob", "vo-climate")
    made.add_user("carol", "vo-climate", "curators-climate")
    return made


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path], slow_web: SlowWeb) -> Iterator[Hub]:
    """A running hub with a running gateway; alice and bob are of vo-climate, carol curates it."""
    require("traefik")
    made = make_hub(tmp_path_factory.mktemp("hub"), slow_web.host, extra=EXTRA)
    try:
        made.start()
        made.ready()
        yield made
    finally:
        slow_web.go_on()  # else the gateway would wait for it a while
        made.stop()


class SlowWeb:
    """A web server whose file stops in the middle until ``go_on`` is called."""

    def __init__(self) -> None:
        self.data = os.urandom(4 << 20)
        self.asked = threading.Event()
        self._going_on = threading.Event()
        web = self

        class File(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._head(0, len(web.data), ranged=False)

            def do_GET(self) -> None:
                first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
                begin, end = int(first or 0), int(last) + 1 if last else len(web.data)
                self._head(begin, end, ranged="Range" in self.headers)
                web.asked.set()
                with suppress(OSError):
                    for offset in range(begin, end, 1 << 16):
                        if offset >= len(web.data) // 2:
                            web._going_on.wait()
                        self.wfile.write(web.data[offset : min(offset + (1 << 16), end)])

            def _head(self, begin: int, end: int, *, ranged: bool) -> None:
                self.send_response(206 if ranged else 200)
                self.send_header("Content-Length", str(end - begin))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", '"1"')
                if ranged:
                    self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(web.data)}")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), File)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def go_on(self) -> None:
        """Give the second half."""
        self._going_on.set()

    def stop(self) -> None:
        """End it."""
        self.go_on()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def slow_web() -> Iterator[SlowWeb]:
    """Never given the word to go on in tests that share it; a transfer from there lasts until it is cancelled."""
    made = SlowWeb()
    yield made
    made.stop()


@pytest.fixture
def new_slow_web() -> Iterator[SlowWeb]:
    """One for a single test."""
    made = SlowWeb()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers late is not out of order."""
    monkeypatch.setattr(doctor_live, "PATIENCE", 120.0)


@pytest.fixture(name="make_hub")
def _make_hub() -> Callable[..., Hub]:
    """See ``make_hub``."""
    return make_hub
