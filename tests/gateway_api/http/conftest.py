"""A gateway in this process, made from a real scigate.toml, asked over a real socket."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

TOKENS = {name: f"token-of-{name}-{'x' * 16}" for name in ("ada", "bo", "root")}


@dataclass
class Running:
    """The gateway, the folders of its storages, and a client for each user."""

    service: Service
    folder: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, user: str | None = "ada", **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKENS[user]}"} if user else {}
        client = httpx.Client(base_url=self.service.url, headers=headers, timeout=60, **options)
        self.clients.append(client)
        return client

    def raw(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """A request whose target goes out exactly as given, as ada."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        given = {"Authorization": f"Bearer {TOKENS['ada']}", **(headers or {})}
        try:
            connection.request(method, target, body, given)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def write_settings(folder: Path, extra: str = "") -> Path:
    for name in ("lab", "frozen"):
        (folder / name).mkdir()
    users = "".join(
        f'[users.{name}]\ntoken_hash = "sha256:{sha256(token.encode()).hexdigest()}"\n'
        + {"ada": 'communities = ["h3a"]\n', "root": 'roles = ["user", "admin"]\n'}.get(name, "")
        for name, token in TOKENS.items()
    )
    path = folder / "scigate.toml"
    path.write_text(
        f"""
[gateway]
port = 0
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.mem]
type = "memory"
[storages.frozen]
type = "posix"
root = "{folder}/frozen"
read_only = true
[storages.adas]
type = "memory"
users = ["ada"]
[storages.community]
type = "memory"
users = ["community:h3a"]
{users}
{extra}
[egress]
allow = ["127.0.0.1:9"] # where nobody listens
"""
    )
    return path


@contextmanager
def serving(settings: Path) -> Iterator[Running]:
    """A gateway with these settings, which lie in its folder."""
    service = build(Settings.load(settings))
    service.start()
    running = Running(service, settings.parent)
    try:
        yield running
    finally:
        for client in running.clients:
            client.close()
        service.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Storages lab, frozen (read-only), mem, adas, community; users ada, bo and root. Shared by a module's tests."""
    with serving(write_settings(tmp_path_factory.mktemp("gateway"))) as running:
        yield running


@pytest.fixture
def ada(gateway: Running) -> httpx.Client:
    return gateway.client("ada")


def finished(client: httpx.Client, location: str, seconds: float = 120) -> dict[str, Any]:
    """The transfer at ``location`` once it is final."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        transfer: dict[str, Any] = client.get(location).json()
        if transfer["finished"]:
            return transfer
        time.sleep(0.02)
    raise AssertionError(f"not finished in {seconds} s: {transfer}")


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that this is a whole RFC 9457 problem."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body.get("code")) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["type"].endswith(code)
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    assert isinstance(body["retriable"], bool)
    assert "Traceback" not in answer.text
    return body
