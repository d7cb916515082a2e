"""The hub's service without the hub: a gateway that cannot start, that is killed, that is stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

PREFIX = "/services/scigate/"
SETTINGS = '[gateway]\nstate_dir = "{folder}/state"\n[storages.lab]\ntype = "memory"\n'


class Service:
    """``python -m scigate.hub_config.service``, as a hub starts it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url, self.settings = folder, f"http://127.0.0.1:{port}", folder / "scigate.toml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = os.environ | {
            "JUPYTERHUB_SERVICE_NAME": "scigate",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": self.url,
            "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",  # where nobody listens
            "JUPYTERHUB_API_TOKEN": "t" * 32,
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "service-scigate",
            "SCIGATE_CONFIG": str(self.settings),
        }
        command = [sys.executable, "-m", "scigate.hub_config.service"]
        self.process = subprocess.Popen(command, env=env, cwd=self.folder)

    def get(self, path: str, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return httpx.get(self.url + path, headers=given, timeout=60)

    def gateway(self) -> psutil.Process:
        """The process of the gateway itself."""
        assert self.process is not None
        found: list[psutil.Process] = []
        _wait(lambda: bool(found.extend(self._children()) or found))
        return found[0]

    def _children(self) -> list[psutil.Process]:
        assert self.process is not None
        return [child for child in psutil.Process(self.process.pid).children() if _serves(child)]

    def is_up(self) -> bool:
        return self.get("/healthz").status_code == 200

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)  # what the hub sends first
        return self.process.wait(timeout=60)


def _serves(process: psutil.Process) -> bool:
    try:
        return "serve" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two looks
        return True


def _wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def service(tmp_path: Path, free_port: int) -> Iterator[Service]:
    """Not started yet; its settings are right."""
    made = Service(tmp_path, free_port)
    made.settings.write_text(SETTINGS.format(folder=tmp_path))
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()


def _answers(service: Service) -> bool:
    try:
        service.get(PREFIX)
    except httpx.ConnectError:
        return False
    return True


def _reason(service: Service, path: str, **headers: str) -> httpx.Response:
    """The answer that tells it; during each further try it is only said that the gateway is starting."""
    answers: list[httpx.Response] = []

    def is_told() -> bool:
        answers.append(service.get(path, **headers))
        return "storage: this key is unknown" in answers[-1].text

    _wait(is_told)
    return answers[-1]


def test_while_the_gateway_cannot_start_the_reason_is_told_and_the_hub_is_content(service: Service) -> None:
    service.settings.write_text(service.settings.read_text().replace("storages", "storage", 1))
    service.start()
    _wait(lambda: _answers(service) and "storage: this key is unknown" in service.get(PREFIX).text)
    asked_by_hub, through_proxy = _reason(service, PREFIX), _reason(service, PREFIX, X_Forwarded_For="127.0.0.1")
    assert (asked_by_hub.status_code, through_proxy.status_code) == (200, 503)
    assert "Did you mean" in through_proxy.text
    assert "&#x27;storages&#x27;" in through_proxy.text, "escaped"
    told = _reason(service, f"{PREFIX}api/v1/storages")
    assert told.status_code == 503
    assert told.headers["Content-Type"] == "application/problem+json"
    assert "storage: this key is unknown" in told.json()["detail"]
    assert "as soon as its settings change" in told.json()["next_step"]
    assert httpx.post(f"{service.url}{PREFIX}api/v1/transfers", content=b"x" * (1 << 20), timeout=60).status_code == 503

    service.settings.write_text(SETTINGS.format(folder=service.folder))
    _wait(service.is_up)
    gateway = service.gateway()
    assert service.stop() == 0
    assert not gateway.is_running()


def test_a_killed_gateway_is_back_and_one_whose_supervisor_is_killed_ends(service: Service) -> None:
    service.start()
    _wait(lambda: _answers(service) and service.is_up())
    seen = {service.get("/healthz").status_code}
    service.settings.unlink()
    os.mkfifo(service.settings)  # so that the next gateway waits for its settings until we have seen what is said
    service.gateway().kill()
    _wait(lambda: bool(seen.add(service.get("/healthz").status_code)) or {200, 503} <= seen)
    service.settings.write_text(SETTINGS.format(folder=service.folder))
    _wait(service.is_up)
    assert seen == {200, 503}, "a refused connection would have raised"

    gateway = service.gateway()
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    _wait(lambda: _has_ended(gateway))


def test_a_port_that_is_still_held_is_waited_for(service: Service) -> None:
    """As by the service of a hub that was killed a moment ago."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_server((host, int(port))):
        service.start()
        time.sleep(0.5)
        assert service.process is not None
        assert service.process.poll() is None
    _wait(lambda: _answers(service))
