"""A hub below a base URL that is started with a broken gateway, and restarted while a transfer is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.hub_config.doctor import examine
from scigate.hub_config.testing import Hub


@pytest.fixture
def restarted(
    tmp_path: Path, require: Callable[[str], Path], make_hub: Callable[..., Hub], new_slow_web: Any
) -> Iterator[Hub]:
    """Not started yet; its settings are broken."""
    require("traefik")
    made = make_hub(tmp_path, new_slow_web.host, base_url="/jupyter/", options="cull_after=timedelta(hours=1),")
    made.settings.write_text(made.settings.read_text().replace("state_dir", "statedir"))
    yield made
    made.stop()


def test_a_hub_starts_with_a_broken_gateway_and_a_restart_ends_no_transfer(restarted: Hub, new_slow_web: Any) -> None:
    hub = restarted
    hub.start()
    hub.wait(lambda: "gateway.statedir: this key is unknown" in httpx.get(hub.gateway).text, "no reason is told")
    hub.settings.write_text(hub.settings.read_text().replace("statedir", "state_dir"))
    hub.ready()
    assert [check for check in examine(str(hub.folder / "jupyterhub_config.py")) if not check.ok] == []

    with hub.signed_in("alice"):
        token = {"Authorization": f"Bearer {hub.token('alice')}"}
    request = {"files": [{"source": f"http://{new_slow_web.host}/file", "destination": "lab:/file"}]}
    transfer = httpx.post(f"{hub.gateway}api/v1/transfers", json=request, headers=token).json()
    assert new_slow_web.asked.wait(60)
    hub.stop()
    hub.start()
    hub.ready()
    new_slow_web.go_on()
    url = f"{hub.gateway}api/v1/transfers/{transfer['id']}"
    done = hub.wait(lambda: _finished(httpx.get(url, headers=token)), "the transfer was not gone on with")
    assert done["state"] == "DONE", done
    assert (hub.folder / "lab" / "file").read_bytes() == new_slow_web.data


def _finished(answer: httpx.Response) -> dict[str, Any] | None:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found if found["finished"] else None
