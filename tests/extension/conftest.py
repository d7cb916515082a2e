"""A real Jupyter Server with the extension, and real gateways behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 fixtures and hooks
from scigate.extension.announcement import Announcement
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

from tests import processes

VARIABLES = (
    "SCIGATE_URL", "SCIGATE_TOKEN", "SCIGATE_TOKEN_FILE", "SCIGATE_CONFIG", "SCIGATE_PUBLIC_PATH",
    "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER",
)  # fmt: skip
TOKEN = "token-of-adas-notebook-server"
PREFIX = "/services/scigate"
PATIENCE = 120.0
"""Seconds that a request may take; without it 20, and 20 to connect."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """What the extension sets does not reach other tests, nor what is set here it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    yield monkeypatch


@dataclass
class Running:
    """A gateway in this process, as the hub's service would be."""

    service: Service
    folder: Path
    is_running: bool = True

    def stop(self) -> None:
        if self.is_running:
            self.is_running = False
            self.service.stop()

    @property
    def url(self) -> str:
        return self.service.url + PREFIX

    @property
    def lab(self) -> Path:
        return self.folder / "lab"


def start_service(folder: Path, port: int = 0) -> Running:
    (folder / "lab").mkdir(parents=True, exist_ok=True)
    digest = sha256(TOKEN.encode()).hexdigest()
    settings = Settings.parse(
        f"""
[gateway]
port = {port}
state_dir = "{folder}/state"
public_url = "http://127.0.0.1:1{PREFIX}"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[users.ada]
token_hash = "sha256:{digest}"
"""
    )
    service = build(settings)
    service.start()
    return Running(service, folder)


def settle(state: Path) -> None:
    """Have the gateway of this state folder listen, each time, where nobody else may come to meanwhile: a port that the
    kernel had given it could be another program's when it comes back."""
    state.mkdir(mode=0o700)
    Announcement(state).publish(f"http://127.0.0.1:{processes.free_port()}", "t" * 43)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    running = start_service(tmp_path / "service")
    yield running
    running.stop()


@pytest.fixture
def hub(service: Running, environment: pytest.MonkeyPatch) -> Running:
    """The environment of ada's notebook server in a hub whose gateway is ``service``."""
    environment.setenv("SCIGATE_URL", service.url)
    environment.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    environment.setenv("JUPYTERHUB_USER", "ada")
    return service


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"scigate.extension": True}},
        "ScigateExtension": {"state_dir": str(tmp_path / "jupyter-state")},
    }


@pytest.fixture
def extension(jp_serverapp: Any, jp_asyncio_loop: Any) -> Iterator[Any]:
    """The extension in the server; ended in order, as the server would."""
    (found,) = jp_serverapp.extension_manager.extension_apps["scigate.extension"]
    yield found
    jp_asyncio_loop.run_until_complete(found.stop_extension())


@pytest.fixture
def api(jp_fetch: Callable[..., Any], extension: Any) -> Callable[..., Any]:
    """``await api("GET", "storages")`` → status, headers and JSON (or bytes)."""

    async def ask(
        method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Any:
        given = dict(headers or {})
        if isinstance(body, (dict, list)):
            body, given["Content-Type"] = json.dumps(body), "application/json"
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = ""
        first, _, query = path.partition("?")
        params = dict(pair.split("=") for pair in query.split("&") if pair)
        answer = await jp_fetch(
            "scigate", first, method=method, body=body, headers=given, params=params,
            raise_error=False, follow_redirects=False, request_timeout=PATIENCE, connect_timeout=PATIENCE, **options,
        )  # fmt: skip
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.code, answer.headers, json.loads(answer.body) if is_json else answer.body

    return ask
