"""Without a hub: the gateway runs in the Jupyter Server itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"scigate.extension": True}},
        "ScigateExtension": {"state_dir": str(tmp_path / "state")},
    }


async def test_it_is_hosted(jp_fetch: Any, jp_root_dir: Path) -> None:
    told = json.loads((await jp_fetch("scigate", "session", method="POST", body="")).body)
    assert told["api"] == told["home_api"] == "/a%40b/scigate/api/v1"
    (jp_root_dir / "note.txt").write_text("hello")
    listed = json.loads((await jp_fetch("scigate", "api", "v1", "files", "home/")).body)
    assert "note.txt" in [entry["name"] for entry in listed["items"]]
    answer = await jp_fetch("scigate", "api", "v1", "files", "home", "note.txt")
    assert answer.body == b"hello"
