"""What ``configure`` adds to a hub's configuration, and what it leaves alone."""

from __future__ import annotations

import copy
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, Spawner
from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from scigate.hub_config import ConfigurationError, configure
from scigate.hub_config.classes import chosen_class
from scigate.hub_config.rights import CUSTOM_SCOPES, role_name
from scigate.hub_config.spawner import StopsInOrder
from traitlets.config.loader import Config

ACCESS = "access:services!service=scigate"
WRITE, CURATE, ADMIN = (f"custom:scigate:{what}" for what in ("write", "curate", "admin"))


def _configured(tmp_path: Path, c: Config | None = None, **options: Any) -> Config:
    c = c if c is not None else Config()
    configure(c, settings=tmp_path / "scigate.toml", state_dir=tmp_path / "proxy", **options)
    return c


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [item for item in items if item["name"] == name]
    return found


def test_an_empty_configuration_gets_everything(tmp_path: Path) -> None:
    c = _configured(tmp_path, communities={"vo": ["ada"]}, curators={"vo": "vo-curators"}, admins=["staff"])
    service = _named(c.JupyterHub.services, "scigate")
    assert service["url"] == "http://127.0.0.1:8470"
    assert service["command"] == [sys.executable, "-m", "scigate.hub_config.service"]
    assert service["environment"] == {"SCIGATE_CONFIG": str(tmp_path / "scigate.toml")}
    assert service["timeout"] >= 120, "else a hub ends itself where its service is slow to start"
    assert service["oauth_client_allowed_scopes"] == [WRITE, CURATE, ADMIN]
    assert c.JupyterHub.custom_scopes == CUSTOM_SCOPES
    assert {ACCESS, WRITE} <= c.JupyterHub.extra_user_scopes
    assert {ACCESS, WRITE, CURATE, "users:activity!user"} <= set(_named(c.JupyterHub.load_roles, "server")["scopes"])
    curator = _named(c.JupyterHub.load_roles, "scigate-curator-vo")
    assert (curator["scopes"], curator["groups"]) == ([f"{CURATE}!group=vo"], ["vo-curators"])
    assert _named(c.JupyterHub.load_roles, "scigate-admin")["groups"] == ["staff"]
    assert c.JupyterHub.load_groups == {"vo": {"users": ["ada"]}}
    assert c.Spawner.environment == {"SCIGATE_URL": "http://127.0.0.1:8470/services/scigate"}
    assert issubclass(c.JupyterHub.spawner_class, LocalProcessSpawner)
    assert issubclass(c.JupyterHub.spawner_class, StopsInOrder)
    assert issubclass(chosen_class(c, "proxy"), TraefikFileProviderProxy)
    assert not (tmp_path / "proxy").exists(), "reading the configuration changes nothing"
    (entry_point,) = c.TraefikProxy.extra_static_config["entryPoints"].values()
    assert entry_point["transport"]["respondingTimeouts"]["readTimeout"] == 0
    assert not any("culler" in service["name"] for service in c.JupyterHub.services)


def test_what_was_there_stays(tmp_path: Path) -> None:
    c = Config()
    c.JupyterHub.services.append({"name": "grader", "url": "http://127.0.0.1:9000"})
    c.JupyterHub.load_roles = [
        {"name": "server", "scopes": ["users:activity!user", "shares!user"]},
        {"name": "user", "scopes": ["self", "shares!user"]},
    ]
    c.JupyterHub.load_groups = {"vo": ["bo"], "other": {"users": [], "properties": {"x": "1"}}}
    c.JupyterHub.custom_scopes = {"custom:grader:read": {"description": "Grades."}}
    c.Spawner.environment = {"LAB": "1"}
    c.SimpleLocalProcessSpawner.environment.update({"SIMPLE": "1"})
    c.Spawner.server_token_scopes = ["users:activity!user"]
    c.JupyterHub.spawner_class = "simple"
    c.TraefikProxy.traefik_api_url = "http://127.0.0.1:9999"
    _configured(tmp_path, c, communities={"vo": ["ada"]})
    assert [service["name"] for service in c.JupyterHub.services] == ["grader", "scigate"]
    assert _named(c.JupyterHub.load_roles, "server")["scopes"][:2] == ["users:activity!user", "shares!user"]
    assert _named(c.JupyterHub.load_roles, "user")["scopes"] == ["self", "shares!user", ACCESS, WRITE]
    assert c.JupyterHub.load_groups["vo"] == {"users": ["bo", "ada"]}
    assert c.JupyterHub.load_groups["other"]["properties"] == {"x": "1"}
    assert "custom:grader:read" in c.JupyterHub.custom_scopes
    assert c.Spawner.environment["LAB"] == "1"
    for section in (c.Spawner, c.SimpleLocalProcessSpawner):
        assert section.environment["SCIGATE_URL"].endswith("/services/scigate")
    assert {"users:activity!user", ACCESS, WRITE} <= set(c.Spawner.server_token_scopes)
    assert issubclass(c.JupyterHub.spawner_class, SimpleLocalProcessSpawner)
    assert c.TraefikProxy.traefik_api_url == "http://127.0.0.1:9999"


def test_it_may_be_called_again(tmp_path: Path) -> None:
    """As when the file is loaded a second time."""
    c = _configured(tmp_path, curators={"vo": "curators"}, cull_after=timedelta(hours=1))
    before = copy.deepcopy(c)
    _configured(tmp_path, c, curators={"vo": "curators"}, cull_after=timedelta(hours=1))
    assert c == before


@pytest.mark.parametrize(
    ("set_up", "options", "words"),
    [
        ("c.JupyterHub.services = [{'name': 'scigate', 'url': 'http://x'}]", {}, "Rename or remove it"),
        ("c.Spawner.environment = {'SCIGATE_URL': 'http://x'}", {}, "SCIGATE_URL.*'http://x'.*Take one"),
        ("c.JupyterHub.custom_scopes = {'custom:scigate:read': {'description': 'x'}}", {}, "custom_scopes"),
        ("c.JupyterHub.subdomain_host = 'https://x'", {}, "subdomain_host"),
        ("c.JupyterHub.internal_ssl = True", {}, "internal_ssl"),
        ("c.Spawner.server_token_scopes = lambda spawner: []", {}, "is a function"),
        ("c.JupyterHub.spawner_class = 'no.such.Spawner'", {}, "cannot be used"),
        ("c.Authenticator.manage_groups = True", {"communities": {"vo": ["ada"]}}, "manages the groups"),
        ("c.JupyterHub.services = [{'name': 'cull', 'command': ['python', '-m', 'jupyterhub_idle_culler']}]",
         {"cull_after": timedelta(hours=1)}, "'cull' culls idle servers already"),
        ("pass", {"cull_after": timedelta(minutes=1)}, "shorter than"),
        ("pass", {"external": True}, "openssl rand -hex 32"),
        ("pass", {"api_token": "short"}, "shorter than 32"),
    ],
)  # fmt: skip
def test_contradictions_are_told_in_words(tmp_path: Path, set_up: str, options: dict[str, Any], words: str) -> None:
    c = Config()
    exec(set_up, {"c": c})
    with pytest.raises(ConfigurationError, match=words):
        _configured(tmp_path, c, **options)


def test_other_spawners_and_proxies_are_left_alone(tmp_path: Path) -> None:
    class FarSpawner(Spawner):
        """As KubeSpawner: not of this machine."""

        start = stop = poll = lambda self: None

    c = Config()
    c.JupyterHub.spawner_class = FarSpawner
    c.ConfigurableHTTPProxy.should_start = False
    _configured(tmp_path, c)
    assert c.JupyterHub.spawner_class is FarSpawner
    assert "proxy_class" not in c.JupyterHub
    assert "TraefikProxy" not in c


def test_a_proxy_that_was_told_its_limits_is_not_told_others(tmp_path: Path) -> None:
    c = Config()
    limits = {"entryPoints": {"scigate": {"transport": {"respondingTimeouts": {"readTimeout": 300}}}}}
    c.TraefikProxy.extra_static_config = limits
    with pytest.raises(ConfigurationError, match="readTimeout'] is 300"):
        _configured(tmp_path, c)


def test_an_external_gateway_is_not_started(tmp_path: Path) -> None:
    c = _configured(tmp_path, url="http://10.0.0.7:8470", external=True, api_token="t" * 32)
    service = _named(c.JupyterHub.services, "scigate")
    assert "command" not in service
    assert service["api_token"] == "t" * 32
    assert c.Spawner.environment["SCIGATE_URL"] == "http://10.0.0.7:8470/services/scigate"


@pytest.mark.parametrize(
    ("setting", "value", "path"),
    [
        ("base_url", "jupyter", "/jupyter/"),
        ("bind_url", "http://:8000/a/b", "/a/b/"),
        ("bind_url", "http://:8000", "/"),
    ],
)
def test_a_base_url_is_followed(tmp_path: Path, setting: str, value: str, path: str) -> None:
    c = Config()
    c.JupyterHub[setting] = value
    _configured(tmp_path, c)
    assert c.Spawner.environment["SCIGATE_URL"] == f"http://127.0.0.1:8470{path}services/scigate"


def test_servers_report_in_time_for_the_culler(tmp_path: Path) -> None:
    c = _configured(tmp_path, cull_after=timedelta(minutes=6))
    assert "--timeout=360" in _named(c.JupyterHub.services, "scigate-idle-culler")["command"]
    assert _named(c.JupyterHub.load_roles, "scigate-idle-culler-service")["services"] == ["scigate-idle-culler"]
    assert c.Spawner.environment["JUPYTERHUB_ACTIVITY_INTERVAL"] == "120"


def test_the_gateway_can_be_open_to_some(tmp_path: Path) -> None:
    c = _configured(tmp_path, open_to=["physics"])
    assert "extra_user_scopes" not in c.JupyterHub
    assert _named(c.JupyterHub.load_roles, "scigate-user")["groups"] == ["physics"]


def test_names_of_roles_are_what_the_hub_takes() -> None:
    assert role_name("scigate-curator-vo.climate") == "scigate-curator-vo.climate"
    odd = role_name("scigate-curator-VO Climate/Δ")
    assert odd.startswith("scigate-curator-vo-climate-")
    assert odd != role_name("scigate-curator-VO Climate/Γ")
