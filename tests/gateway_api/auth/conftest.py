"""One hub and one gateway beside it, for all tests of this folder."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.gateway_api.auth import hub as asking
from scigate.gateway_api.auth import hub_activity
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build
from scigate.storage_backends.testing.servers import free_ports

from .hub_process import BASE, PREFIX, TRUST, RealHub, running


@dataclass
class Beside:
    """A gateway, the hub that it serves, and clients of both."""

    service: Service
    hub: RealHub
    folder: Path
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The gateway as the hub's proxy shows it."""
        return self.service.url + PREFIX.rstrip("/")

    def client(self, token: str | None = None, scheme: str = "Bearer") -> httpx.Client:
        """A program with this token."""
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        return self._kept(httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=TRUST))

    def browser(self) -> httpx.Client:
        """It keeps cookies and follows redirects; hub and gateway are one site to it, as behind a proxy."""
        site = f"http://127.0.0.1:{self.hub.port}"
        transport = OneSite(self.service.port)
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
        return self._kept(
            httpx.Client(base_url=site, transport=transport, headers=headers, follow_redirects=True, timeout=60)
        )

    def _kept(self, client: httpx.Client) -> httpx.Client:
        self.clients.append(client)
        return client


class OneSite(httpx.HTTPTransport):
    """What the proxy of a hub does: some paths are the gateway's."""

    def __init__(self, gateway_port: int) -> None:
        super().__init__(verify=TRUST)
        self._gateway_port = gateway_port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith(PREFIX.rstrip("/")):
            return super().handle_request(request)
        there = request.url.copy_with(port=self._gateway_port)
        passed_on = httpx.Request(request.method, there, headers=request.headers, stream=request.stream)
        passed_on.extensions = request.extensions
        return super().handle_request(passed_on)


def settings_text(folder: Path, port: int, hub: RealHub, api: str | None = None, more: str = "") -> str:
    """Of a gateway beside this hub; ``api`` is where it asks, if elsewhere."""
    for name in ("lab", "climate"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "hub-token").touch(0o600)
    (folder / "hub-token").write_text(hub.token)
    return f"""
[gateway]
port = {port}
state_dir = "{folder}/state"
[hub]
api_url = "{api or hub.api}"
api_token = {{ file = "{folder}/hub-token" }}
base_url = "{BASE}"
cache = "1s"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.climate]
type = "posix"
root = "{folder}/climate"
users = ["community:climate"]
[users.ada]
token_hash = "sha256:{"0" * 64}"
[egress]
allow = ["127.0.0.1:9"] # where nobody listens
{more}
"""


@contextmanager
def gateway_beside(folder: Path, port: int, hub: RealHub, api: str | None = None, more: str = "") -> Iterator[Beside]:
    """A gateway in this process."""
    service = build(Settings.parse(settings_text(folder, port, hub, api, more)))
    service.start()
    beside = Beside(service, hub, folder)
    try:
        yield beside
    finally:
        for client in beside.clients:
            client.close()
        service.stop()


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """A hub that stands still for a while, as on a busy machine, is not taken for one that does not answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "PATIENCE", 120.0)
        patch.setattr(hub_activity, "PATIENCE", 120.0)
        yield


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """The hub with its gateway. Users: see ``hub_process.GROUPS``."""
    gateway_port, port, proxy_port = free_ports(3)
    hub = RealHub(tmp_path_factory.mktemp("hub"), port, gateway_port)
    with gateway_beside(tmp_path_factory.mktemp("gateway"), gateway_port, hub) as made, running(hub, proxy_port):
        yield made


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that takes every connection and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that this is a problem, and says what to do."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body.get("code")) == (status, code), answer.text
    assert body["next_step"]
    return body
