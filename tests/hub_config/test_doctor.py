"""The doctor on configurations: what is right is said to be, and each thing that is wrong is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scigate.gateway_api.cli.app import run
from scigate.gateway_api.client import Check
from scigate.hub_config.doctor import examine

GOOD = """
from datetime import timedelta
import json
from pathlib import Path
from scigate.hub_config import configure
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:1/jupyter/"
c.JupyterHub.spawner_class = "simple"
{before}
configure(c, settings=Path(__file__).with_name("scigate.toml"), communities=["vo"], curators={{"vo": "curators"}},
          cull_after=timedelta(hours=1), {options})
{after}
"""


def _examined(tmp_path: Path, before: str = "", after: str = "", options: str = "") -> list[Check]:
    (tmp_path / "scigate.toml").touch()
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(GOOD.format(before=before, after=after, options=options))
    return list(examine(str(config)))


def _wrong(checks: list[Check]) -> list[str]:
    assert all(check.next_step for check in checks if not check.ok), "what to do is said"
    return [f"{check.name}: {check.message}" for check in checks if not check.ok]


def test_a_configured_hub_is_in_order(tmp_path: Path) -> None:
    checks = _examined(tmp_path)
    assert _wrong(checks) == []
    told = "\n".join(f"{check.name}: {check.message}" for check in checks)
    for words in (
        "service: 'scigate' at http://127.0.0.1:8470, started by the hub",
        "rights: every user of the hub may use the gateway",
        "rights: tokens of notebook servers can call the gateway",
        "curators: members of curators curate vo",
        "servers: notebook servers find the gateway at http://127.0.0.1:8470/jupyter/services/scigate",
        "proxy: Traefik passes requests of any length",
        "culler: notebook servers are stopped after 3600 s",
        "hub: nobody answers at http://127.0.0.1:1/jupyter/",
        "jupyterhub 6.",
    ):
        assert words in told, told


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("c.JupyterHub.services = []", "service: the gateway is not a service of this hub"),
        ("c.JupyterHub.services[0]['oauth_client_allowed_scopes'] = []", "its pages may not do anything"),
        ("c.JupyterHub.services[0].pop('command')", "the hub has no token for it"),
        ("c.JupyterHub.services[0]['environment']['SCIGATE_CONFIG'] = '/no/where'", "/no/where are not there"),
        ("c.JupyterHub.load_roles = []", "rights: tokens of notebook servers lack access:services!service=scigate"),
        ("c.JupyterHub.load_roles = []", "rights: the gateway lacks list:groups"),
        ("c.JupyterHub.extra_user_scopes = set()", "rights: nobody may use the gateway"),
        ("c.JupyterHub.custom_scopes = {}", "rights: the hub does not know custom:scigate:admin"),
        ("c.JupyterHub.base_url = '/other/'", "and it is at http://127.0.0.1:8470/other/services/scigate"),
        ("c.Spawner.environment = {}", "notebook servers are not told where the gateway is"),
        ("c.JupyterHub.spawner_class = 'simple'", "SimpleLocalProcessSpawner stops servers with SIGINT"),
        ("c.TraefikProxy.extra_static_config = {}", "Traefik cuts off uploads after 60 seconds"),
        ("c.JupyterHub.proxy_class = 'default'", "configurable-http-proxy cuts off requests after five minutes"),
        ("c.TraefikProxy.traefik_env = {'PATH': '/nowhere'}", "the program traefik is not here"),
        ("c.JupyterHub.bind_url = 'http://:1/jupyter/'", "without encryption"),
        ("c.Spawner.environment['JUPYTERHUB_ACTIVITY_INTERVAL'] = '7200'", "culler: servers are stopped after 3600 s"),
        ("c.JupyterHub.spawner_class = 'no.such'", "'no.such', which cannot be used"),
        ("1 / 0", "fails: ZeroDivisionError"),
    ],
)
def test_what_is_set_afterwards_is_found(tmp_path: Path, after: str, words: str) -> None:
    assert any(words in line for line in _wrong(_examined(tmp_path, after=after))), _wrong(
        _examined(tmp_path, after=after)
    )


def test_a_contradiction_is_told_as_configure_tells_it(tmp_path: Path) -> None:
    (problem,) = _wrong(_examined(tmp_path, before="c.JupyterHub.internal_ssl = True"))
    assert "internal_ssl" in problem


def test_servers_elsewhere_cannot_use_a_loopback_address(tmp_path: Path) -> None:
    far = """
from jupyterhub.spawner import Spawner
class FarSpawner(Spawner):
    start = stop = poll = lambda self: None
c.JupyterHub.spawner_class = FarSpawner
"""
    assert any("which is their own machine" in line for line in _wrong(_examined(tmp_path, before=far)))
    assert _wrong(_examined(tmp_path, before=far, options='url="http://10.0.0.7:8470"')) == []


def test_who_is_not_there_is_told(tmp_path: Path) -> None:
    assert "is no file" in _wrong(list(examine(str(tmp_path / "none.py"))))[0]
    assert "does not answer" in _wrong(list(examine("http://127.0.0.1:1/")))[0]


def test_the_command_line_finds_this_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _examined(tmp_path)
    config = str(tmp_path / "jupyterhub_config.py")
    assert run(["doctor", "--hub", config]) == 0
    assert "ok     proxy: Traefik passes requests of any length" in capsys.readouterr().out
    assert run(["doctor", "--json", "--hub", f"{config}.old"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["name"], last["ok"]) == ("configuration", False)
    assert last["next_step"]
