"""A real hub with a real gateway: routed, reachable with tokens of servers, and never taken down by it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil
import pytest
from scigate.gateway_api.client import Check
from scigate.hub_config.doctor import examine
from scigate.hub_config.testing import Hub


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _server_process(hub: Hub, user: str) -> psutil.Process:
    """The notebook server of a user."""
    prefix = f"/user/{user}/"
    for process in psutil.Process(hub.pid).children(recursive=True):
        is_one = "jupyterhub.singleuser" in _words(process)
        if is_one and _environment(process).get("JUPYTERHUB_SERVICE_PREFIX", "").endswith(prefix):
            return process
    raise AssertionError(f"{user} has no server")


def _words(process: psutil.Process) -> list[str]:
    """Its command; nothing if it has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _gateway_process(hub: Hub) -> psutil.Process:
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [one for one in psutil.Process(hub.pid).children(recursive=True) if "serve" in _words(one)]
        return bool(found)

    hub.wait(look, "there is no gateway")
    return found[0]


@pytest.fixture(scope="module")
def server(hub: Hub) -> dict[str, str]:
    """The environment of alice's notebook server, which runs; so does bob's."""
    for user in ("alice", "bob"):
        with hub.signed_in(user):
            hub.api("POST", f"users/{user}/server").raise_for_status()
    hub.wait(lambda: all(hub.server(user).get("ready") for user in ("alice", "bob")), "a server did not start")
    return _environment(_server_process(hub, "alice"))


def test_the_gateway_is_routed(hub: Hub) -> None:
    assert hub.http.get(f"{hub.gateway}healthz").status_code == 200
    nobody = hub.http.get(f"{hub.gateway}api/v1/storages")
    assert nobody.status_code == 401
    assert 'realm="scigate"' in nobody.headers["WWW-Authenticate"]


def test_a_notebook_server_can_use_the_gateway(hub: Hub, server: dict[str, str]) -> None:
    assert server["SCIGATE_URL"] == f"http://127.0.0.1:{hub.gateway_port}/services/scigate"
    token = _bearer(server["JUPYTERHUB_API_TOKEN"])
    for gateway in (server["SCIGATE_URL"] + "/", hub.gateway):
        answer = hub.http.get(f"{gateway}api/v1/storages", headers=token)
        assert answer.status_code == 200, answer.text
        assert {item["name"] for item in answer.json()["items"]} == {"lab", "mem", "climate"}


def test_the_tokens_of_who_is_taken_out_of_the_file_are_worth_nothing(hub: Hub) -> None:
    hub.add_user("dan", "vo-climate")
    hub.api("POST", "users/dan").raise_for_status()
    mine = {"Authorization": f"token {hub.token('dan')}"}

    def status() -> int:
        return hub.http.get(f"{hub.url}hub/api/user", headers=mine).status_code

    assert status() == 200
    hub.accounts.remove("dan")
    hub.wait(lambda: status() == 403, "the hub still knows the token")


def test_the_doctor_finds_the_hub_in_order(hub: Hub, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL"):
        monkeypatch.setenv(name, server[name])
    assert any("was not shown to" in check.message for check in examine(hub.url)), "it knows the hub by another port"
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_HUB_URL", f"{hub.url}hub/")  # as it does where public_url is set
    for target in (str(hub.folder / "jupyterhub_config.py"), hub.url):
        checks = list(examine(target))
        assert [check for check in checks if not check.ok] == []
        told = [check.message for check in checks]
        assert any("it is of alice of vo-climate, who may read, write" in line for line in told), told
        assert any("takes this token" in line for line in told), told


def test_a_broken_gateway_leaves_the_hub_alone_and_tells_why(hub: Hub) -> None:
    right = hub.settings.read_text()
    try:
        hub.settings.write_text(right.replace('type = "posix"', 'type = "posixx"'))
        _gateway_process(hub).kill()
        told: dict[str, Any] = hub.wait(_reason(hub, "api/v1/storages"), "no reason is told").json()
        assert "storages.lab.type: there is no storage backend 'posixx'. Did you mean 'posix'?" in told["detail"]
        assert hub.wait(_reason(hub, ""), "no page tells the reason").status_code == 503
        assert hub.http.get(f"{hub.url}hub/health").status_code == 200
        found = hub.wait(lambda: _problems_with(hub, "posixx"), "the doctor does not tell the reason")
        assert len(found) == 1
    finally:
        hub.settings.write_text(right)
    hub.ready()


def _reason(hub: Hub, path: str) -> Callable[[], httpx.Response | None]:
    """The answer that tells it; during each further try it is only said that the gateway is starting."""

    def ask() -> httpx.Response | None:
        answer = hub.http.get(hub.gateway + path)
        return answer if "posixx" in answer.text else None

    return ask


def _problems_with(hub: Hub, word: str) -> list[Check]:
    """All that the doctor finds wrong, once it is told of this."""
    problems = [check for check in examine(hub.url) if not check.ok]
    return problems if any(word in problem.message for problem in problems) else []


def test_who_has_transfers_under_way_is_not_culled_and_who_is_ends_in_order(
    hub: Hub, server: dict[str, str], slow_web: Any
) -> None:
    """The gateway tells the hub when it starts, and once a minute: so a new one is started, to wait less."""
    token = _bearer(server["JUPYTERHUB_API_TOKEN"])
    request = {"files": [{"source": f"http://{slow_web.host}/file", "destination": "lab:/culled/"}]}
    made = hub.http.post(f"{hub.gateway}api/v1/transfers", json=request, headers=token)
    assert made.status_code == 202, made.text
    assert slow_web.asked.wait(240)
    hub.wait(lambda: _idle(hub, "bob") > 15, "bob is never idle")
    with _culler(hub) as cull:
        before, logged = hub.server("alice")["last_activity"], len(hub.log.read_text())
        killed = _gateway_process(hub)
        supervisor = killed.ppid()
        killed.kill()
        killed.wait()
        hub.ready()
        assert _gateway_process(hub).ppid() == supervisor, (
            "the hub, which looks for it only now and then, had no part in it"
        )
        hub.wait(lambda: hub.server("alice")["last_activity"] > before, "alice was not reported as active")
        cull(int(_idle(hub, "bob")) - 1)
        hub.wait(lambda: not hub.server("bob"), "bob was not culled")
    assert hub.server("alice")["ready"], "alice's transfer is under way"
    said = hub.log.read_text()[logged:]
    assert "received signal 15" in said, "with SIGINT the stop hooks of bob's server would not run"
    assert "KeyboardInterrupt" not in said
    ended = hub.http.post(f"{hub.gateway}api/v1/transfers/{made.json()['transfer']['id']}/cancel", headers=token)
    assert ended.status_code < 300, ended.text


def _idle(hub: Hub, user: str) -> float:
    """Seconds since the user's server was last seen to do something."""
    return (datetime.now(UTC) - datetime.fromisoformat(hub.server(user)["last_activity"])).total_seconds()


CULLER = """
import sys
from jupyterhub_idle_culler import main
print("ready", flush=True)
sys.argv[1:] = ["--cull-every=600", f"--timeout={input()}"]
main()
"""


@contextlib.contextmanager
def _culler(hub: Hub) -> Iterator[Callable[[int], None]]:
    """``cull(seconds)``: who was idle for longer is culled, at once: the program has been started before, as whoever is
    active now would be idle for some seconds until it had."""
    env = {"JUPYTERHUB_API_URL": f"{hub.url}hub/api", "JUPYTERHUB_API_TOKEN": hub.admin_token, "PATH": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CULLER], env=env, stdin=pipe, stdout=pipe, text=True) as culler:
        assert culler.stdin is not None
        assert culler.stdout is not None
        try:
            assert culler.stdout.readline() == "ready\n"
            yield lambda seconds: print(seconds, file=culler.stdin, flush=True)
        finally:
            culler.terminate()
