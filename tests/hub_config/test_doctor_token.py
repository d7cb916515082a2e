"""Whom the doctor shows a token: the hub that it belongs to, and whoever is named together with one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scigate.gateway_api.cli.app import run
from scigate.gateway_api.client import Check
from scigate.hub_config.doctor import examine

TOKEN = "secret-token-of-alice"
USER = {"name": "alice", "groups": ["vo"], "scopes": ["access:services", "custom:scigate:read"]}
Start = Callable[..., "Stranger"]


class Stranger:
    """A web server that looks like a hub with a gateway, and keeps what it is shown."""

    def __init__(self, away: str | None = None) -> None:
        self.shown: list[tuple[str, str]] = []
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stranger.shown += [(self.path, value) for value in self.headers.get_all("Authorization", [])]
                if away is not None and self.path.endswith(("/user", "/status")):
                    self._answer(302, {}, Location=f"{away.rstrip('/')}{self.path}")
                elif self.path.endswith("/storages"):
                    self._answer(401, {}, WWW_Authenticate='Bearer realm="scigate"')
                else:
                    self._answer(200, USER | {"version": "6.1.1\x1b[2J"})

            def _answer(self, status: int, body: object, **headers: str) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/jupyter/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def start() -> Iterator[Start]:
    made = []

    def _start(away: str | None = None) -> Stranger:
        made.append(Stranger(away))
        return made[-1]

    yield _start
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture(autouse=True)
def notebook_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a terminal of alice's notebook server."""
    for name in ("JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:1/jupyter/hub/api")


def _of_token(checks: list[Check]) -> Check:
    (found,) = [check for check in checks if check.name == "token"]
    return found


def test_a_stranger_is_not_shown_the_token_and_that_is_said(start: Start) -> None:
    stranger = start()
    checks = list(examine(stranger.url))
    assert stranger.shown == []
    token = _of_token(checks)
    assert token.ok
    assert "not shown" in token.message
    assert "http://127.0.0.1:1" in token.message
    assert "--token-file" in str(token.next_step)
    assert TOKEN not in str(checks)


@pytest.mark.parametrize("name", ["JUPYTERHUB_API_URL", "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST"])
def test_the_hub_of_this_server_is_shown_it(start: Start, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hub = start()
    monkeypatch.setenv(name, f"{hub.url}hub/")
    assert "it is of alice of vo, who may read" in _of_token(list(examine(hub.url))).message
    assert {path for path, _ in hub.shown} == {"/jupyter/hub/api/user", "/jupyter/services/scigate/api/v1/status"}


@pytest.mark.parametrize("spelling", ["http://{own}@{host}/", "http://{host}\\@{own}/", "https://{own}:x@{host}/"])
def test_an_address_that_only_looks_like_it_is_not_shown_it(start: Start, spelling: str) -> None:
    stranger = start()
    host = f"127.0.0.1:{stranger.server.server_port}"
    list(examine(spelling.format(own="127.0.0.1", host=host)))
    assert not any(TOKEN in value for _, value in stranger.shown)


def test_where_a_hub_sends_us_no_token_goes_along(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = start()
    hub = start(away=f"http://127.0.0.1:{stranger.server.server_port}")
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub.url}hub/api")
    list(examine(hub.url))
    assert hub.shown
    assert stranger.shown == []


def test_a_configuration_that_names_another_hub_is_not_shown_it(start: Start, tmp_path: Path) -> None:
    stranger = start()
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(f"get_config().JupyterHub.bind_url = {stranger.url!r}")
    assert "not shown" in _of_token(list(examine(str(config)))).message
    assert stranger.shown == []


def test_who_names_a_token_has_it_shown(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "another")
    hub, file = start(), tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    assert run(["doctor", "--hub", hub.url, "--token-file", str(file)]) == 0
    out = capsys.readouterr().out
    assert "token: it is of alice of vo, who may read" in out
    assert "\x1b[2J" not in out, "what a stranger says does not steer the terminal"
    assert {value for _, value in hub.shown} == {f"token {TOKEN}", f"Bearer {TOKEN}"}
    file.chmod(0o644)
    assert run(["doctor", "--hub", hub.url, "--token-file", str(file)]) != 0
    assert "can be read by others" in capsys.readouterr().err
    assert run(["doctor", "--token-file", str(file)]) == 2
