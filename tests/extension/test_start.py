"""How the extension begins, and how it says that it cannot."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import Gateway
from scigate.gateway_api.settings import GatewaySection, Settings
from scigate.gateway_api.wiring import build

from .conftest import settle

Api = Callable[..., Any]
V1 = "api/v1"
ADDRESSES = (("POST", "session"), ("GET", f"{V1}/storages"), ("PUT", f"{V1}/files/home/x"))


async def said(api: Api, *, status: int = 503) -> dict[str, Any]:
    """The problem that all our addresses answer with."""
    for method, path in ADDRESSES:
        found, headers, body = await api(method, path)
        assert (found, headers["Content-Type"]) == (status, "application/problem+json"), body
        assert body["next_step"]
    return dict(body)


@pytest.fixture
def settled(tmp_path: Path) -> None:
    settle(tmp_path / "jupyter-state")


@pytest.mark.usefixtures("settled")
async def test_kernels_find_the_hosted_gateway(api: Api, jp_root_dir: Path, tmp_path: Path) -> None:
    expected = os.environ["SCIGATE_URL"]
    await api("POST", "session")
    assert os.environ["SCIGATE_URL"] == expected
    token_file = Path(os.environ["SCIGATE_TOKEN_FILE"])
    assert token_file == tmp_path / "jupyter-state" / f"jupyter-token-{expected.rpartition(':')[2]}"
    assert {stat.S_IMODE(path.stat().st_mode) for path in token_file.parent.glob("jupyter-*")} == {0o600}
    (jp_root_dir / "notes.txt").write_text("notes")
    with Gateway() as gateway:
        assert [entry.name for entry in gateway.ls("home:/")] == ["notes.txt"]


class TestWithSettings:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "scigate.toml").write_text(
            f'[gateway]\nport = 1\nstate_dir = "{tmp_path}/not-this"\n'
            f'[storages.data]\ntype = "posix"\nroot = "{tmp_path}"\n[users.bo]\ntoken_hash = "sha256:{"0" * 64}"\n'
        )
        jp_server_config["ScigateExtension"]["settings_file"] = str(tmp_path / "scigate.toml")
        return jp_server_config

    async def test_its_storages_are_there_beside_home(self, api: Api, tmp_path: Path) -> None:
        _, _, page = await api("GET", f"{V1}/storages")
        assert sorted(storage["name"] for storage in page["items"]) == ["data", "home"]
        assert not (tmp_path / "not-this").exists()


class TestWrongSettings:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "scigate.toml").write_text("[storages.data]\ntype = 'possix'\n")
        jp_server_config["ScigateExtension"]["settings_file"] = str(tmp_path / "scigate.toml")
        return jp_server_config

    async def test_it_is_said_what_is_wrong(self, api: Api) -> None:
        body = await said(api)
        assert "posix" in body["detail"]
        assert "possix" in body["detail"]


class TestWrongConfiguration:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ScigateExtension"]["state_dir"] = 5
        return jp_server_config

    async def test_it_is_said_what_is_wrong(self, api: Api) -> None:
        assert "state_dir" in (await said(api))["detail"]


class TestAnotherGateway:
    @pytest.fixture(autouse=True)
    def _other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr("scigate.extension.hosting.PATIENCE", 0.2)
        section = GatewaySection(port=0, state_dir=tmp_path / "jupyter-state")
        service = build(Settings(gateway=section))
        yield
        service.start()
        service.stop()

    async def test_a_folder_in_use_is_said(self, api: Api, tmp_path: Path) -> None:
        assert str(tmp_path / "jupyter-state") in (await said(api))["detail"]


class TestNoToken:
    @pytest.fixture(autouse=True)
    def _nobody(self, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        environment.setenv("HOME", str(tmp_path))
        environment.setenv("SCIGATE_URL", "http://127.0.0.1:9")

    async def test_a_gateway_without_a_token_is_said(self, api: Api) -> None:
        assert "token" in (await said(api))["detail"]


class TestBroken:
    @pytest.fixture(autouse=True)
    def _missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "scigate.extension.app", raising=False)
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        for name in ("upstream", "forward", "events_socket", "session_handler", "hosting"):
            monkeypatch.delitem(sys.modules, f"scigate.extension.{name}", raising=False)

    @pytest.fixture
    def extension(self, jp_serverapp: Any) -> None:
        """There is none."""

    async def test_what_cannot_be_imported_is_said(self, api: Api) -> None:
        body = await said(api)
        assert "aiohttp" in body["detail"]
        assert "scigate[jupyter]" in body["next_step"]

    async def test_a_stranger_is_not_told_why(self, api: Api) -> None:
        status, _, body = await api("GET", f"{V1}/storages", headers={"Authorization": "token wrong"})
        assert (status, body["code"]) == (403, "not-signed-in")


async def test_a_running_job_keeps_the_server_from_being_culled(hub: Any, api: Api, extension: Any) -> None:
    times = extension.serverapp.web_app.settings["last_activity_times"]
    extension._look()
    assert "scigate" not in times
    hub.stop()
    files = [{"source": "lab:/f", "destination": "home:/f"}]
    assert (await api("POST", f"{V1}/transfers", {"files": files}))[0] == 202
    extension._look()
    assert "scigate" in times


async def test_it_begins_in_the_background(extension: Any, jp_serverapp: Any) -> None:
    await jp_serverapp._post_start()
    await extension._beginning
    assert (await extension.door.upstream()).url == os.environ["SCIGATE_URL"]


def test_every_setting_is_in_the_reference() -> None:
    from scigate.extension.app import ScigateExtension

    page = Path(__file__).parents[2] / "docs" / "reference" / "jupyter-extension.md"
    named = set(re.findall(r"^\| `(\w+)` \| ", page.read_text(), re.MULTILINE))
    assert set(ScigateExtension.class_own_traits(config=True)) - named == set()
