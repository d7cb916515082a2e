"""Files that Jupyter hides are hidden here too, and are shown where it shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .test_home import finished

Api = Callable[..., Any]
V1 = "api/v1"
HIDDEN = [".secret", ".ssh/key", "run/.cache/b"]


@pytest.fixture(params=["with a hub", "alone"])
def files(request: pytest.FixtureRequest, jp_root_dir: Path) -> Path:
    """Hidden files, and others, in a server beside a hub's gateway, or in one that hosts its own."""
    if request.param == "with a hub":
        request.getfixturevalue("hub")
    for name in (*HIDDEN, "run/a"):
        path = jp_root_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return jp_root_dir


async def _names(api: Api, folder: str, **query: str) -> set[str]:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    status, _, page = await api("GET", f"{V1}/files/home/{folder}?{words}".rstrip("?"))
    assert status == 200, page
    return {entry["location"].removeprefix("home:/") for entry in page["items"]}


async def test_they_are_not_there(files: Path, api: Api) -> None:
    assert await _names(api, "") == {"run/"}
    assert await _names(api, "", recursive="true") == {"run/a"}
    for name in (*HIDDEN, ".ssh/", "run/.cache/"):
        assert (await api("GET", f"{V1}/files/home/{name}"))[0] == 404, name
        assert (await api("DELETE", f"{V1}/files/home/{name}"))[0] == 404, name
    nothing, something = [(await api("GET", f"{V1}/files/home/{name}"))[2] for name in (".secrex", ".secret")]
    assert nothing["code"] == something["code"]
    for body in (
        {"source": "home:/.secret", "destination": "home:/shown"},
        {"source": "home:/run/a", "destination": "home:/.secret", "overwrite": True},
    ):
        assert (await api("POST", f"{V1}/moves", body))[0] == 404
    assert (files / ".secret").read_text() == "x"
    assert not (files / "shown").exists()


async def test_they_are_neither_sent_nor_fetched_to(hub: Any, api: Api, jp_root_dir: Path) -> None:
    for name in (*HIDDEN, "run/a"):
        (jp_root_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (jp_root_dir / name).write_text("x")
    (hub.lab / "f").write_text("f")
    (hub.lab / "tree").mkdir()
    (hub.lab / "tree" / ".profile").write_text("f")
    for source, destination in (
        ("home:/.secret", "lab:/got"),
        ("home:/.ssh/", "lab:/got/"),
        ("lab:/f", "home:/.bashrc"),
        ("lab:/f", "home:/.ssh/authorized_keys"),
    ):
        files = [{"source": source, "destination": destination}]
        status, _, answer = await api("POST", f"{V1}/transfers", {"files": files})
        assert (status, answer["code"]) == (404, "not-found"), answer
    files = [{"source": "home:/run/", "destination": "lab:/run/"}]
    _, _, answer = await api("POST", f"{V1}/transfers", {"files": files})
    assert (await finished(api, answer["transfer"]["id"]))["files"]["total"] == 1
    files = [{"source": "lab:/tree/", "destination": "home:/tree/"}]
    _, _, answer = await api("POST", f"{V1}/transfers", {"files": files})
    failed = await finished(api, answer["transfer"]["id"])
    assert (failed["state"], failed["cause"]["code"]) == ("FAILED", "not-found")
    assert sorted(path.name for path in (hub.lab / "run").rglob("*")) == ["a"]
    assert not list(jp_root_dir.rglob(".profile"))


class TestWhereJupyterShowsThem:
    @pytest.fixture
    def jp_server_config(self, tmp_path: Path) -> dict[str, Any]:
        return {
            "ServerApp": {"jpserver_extensions": {"scigate.extension": True}},
            "ScigateExtension": {"state_dir": str(tmp_path / "jupyter-state")},
            "ContentsManager": {"allow_hidden": True},
        }

    async def test_they_are_files_like_others(self, files: Path, api: Api) -> None:
        assert {".secret", ".ssh/", "run/"} <= await _names(api, "")
        assert (await api("GET", f"{V1}/files/home/.secret"))[2] == b"x"
