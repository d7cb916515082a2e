"""Between client and gateway: a TCP proxy that breaks connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scigate.gateway_api.client import Gateway

from .bad_network import BadNetwork

PATIENCE = timedelta(minutes=2)  # of clients whose gateway is there, however slow it is


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's client keeps what is under way."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    return tmp_path / "state-home"


@pytest.fixture
def gateway(gateway_process: Any) -> Iterator[Gateway]:
    """A client of the shared gateway, as ada."""
    with Gateway(gateway_process.url, gateway_process.environment()["SCIGATE_TOKEN"], patience=PATIENCE) as client:
        yield client


class CuttingProxy:
    """Passes bytes on, and cuts each connection after ``cut_after`` bytes of answers (None: never).

    ``lose_answers``: so many connections pass the request on and are cut before any of its answer.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self.cut_after: int | None = None
        self.lose_answers = 0
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.upstream)
            self.connections += 1
            threading.Thread(target=_pass_on, args=(client, upstream), daemon=True).start()
            threading.Thread(target=self._answer, args=(upstream, client), daemon=True).start()

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        left = self.cut_after
        while data := _received(upstream):
            if self.lose_answers > 0:
                self.lose_answers -= 1
                break
            client.sendall(data if left is None else data[:left])
            if left is not None and (left := left - len(data)) <= 0:
                break
        for side in (upstream, client):
            _shut(side)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    while data := _received(source):
        try:
            sink.sendall(data)
        except OSError:
            break
    _shut(sink)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


def _shut(side: socket.socket) -> None:
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        side.close()


@pytest.fixture
def bad_network(gateway_process: Any) -> Iterator[BadNetwork]:
    """Between a client and the shared gateway."""
    network = BadNetwork(gateway_process.url)
    yield network
    network.close()


@pytest.fixture
def abroad(bad_network: BadNetwork, gateway_process: Any) -> Iterator[Gateway]:
    """A client, as ada, behind the bad network."""
    with Gateway(bad_network.url, gateway_process.environment()["SCIGATE_TOKEN"], patience=PATIENCE) as client:
        yield client


@pytest.fixture
def cutting_proxy(gateway_process: Any) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(gateway_process.url)
    yield proxy
    proxy.close()


@pytest.fixture
def through_proxy(gateway_process: Any, cutting_proxy: CuttingProxy) -> Iterator[Callable[[], Gateway]]:
    """Clients of the shared gateway, as ada, whose connections the proxy cuts."""
    clients: list[Gateway] = []

    def connect() -> Gateway:
        token = gateway_process.environment()["SCIGATE_TOKEN"]
        clients.append(Gateway(cutting_proxy.url, token, patience=PATIENCE))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
