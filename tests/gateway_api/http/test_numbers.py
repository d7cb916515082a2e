"""The numbers of dashboards: room, rates, who is here, where the storages come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import build

from .conftest import Running, write_settings

V1 = "/api/v1"
MIB = 1 << 20
SETTINGS = """
[storages.archive]
type = "posix"
root = "{folder}/archive"
[feedback]
request = "mailto:data@example.org?subject=SciGate"
report = "https://git.example.org/gateway/issues/new"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "archive").mkdir()
    service = build(Settings.load(write_settings(folder, SETTINGS.format(folder=folder))))
    service.start()
    running = Running(service, folder)
    yield running
    for client in running.clients:
        client.close()
    service.stop()


def storages(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in client.get(f"{V1}/storages").json()["items"]}


def test_room_is_that_of_the_file_system(gateway: Running) -> None:
    found, real = storages(gateway.client("ada")), os.statvfs(gateway.folder / "lab")
    assert found["lab"]["space"]["total"] == real.f_blocks * real.f_frsize
    assert abs(found["lab"]["space"]["free"] - real.f_bavail * real.f_frsize) < 1 << 30
    assert found["frozen"]["space"] is None  # nobody writes there
    assert found["mem"]["space"]["free"] <= found["mem"]["space"]["total"]


def test_the_status_says_who_is_here_and_where_storages_come_from(gateway: Running) -> None:
    ada, root = gateway.client("ada"), gateway.client("root")
    before = ada.get(f"{V1}/status").json()
    root.get(f"{V1}/storages")
    status = ada.get(f"{V1}/status").json()
    assert before["users_active"] <= status["users_active"]
    assert status["users_active"] >= 2
    assert status["registry"].startswith("file scigate.toml, read 2")
    assert str(gateway.folder) not in status["registry"]
    assert status["feedback"] == {
        "request": "mailto:data@example.org?subject=SciGate",
        "report": "https://git.example.org/gateway/issues/new",
    }
    assert status["rate"] >= 0


def test_only_one_storage_is_suggested_and_it_can_be_written_to(gateway: Running) -> None:
    found = storages(gateway.client("ada"))
    assert sum(one["nearest"] for one in found.values()) == 1
    assert not found["frozen"]["nearest"]
    (name,) = (name for name, one in found.items() if one["nearest"])
    assert gateway.client("ada").get(f"{V1}/storages/{name}").json()["nearest"]


def test_a_storage_tells_which_of_your_communities_it_is_shared_with(gateway: Running) -> None:
    def communities(user: str) -> dict[str, list[str]]:
        return {name: one["communities"] for name, one in storages(gateway.client(user)).items()}

    assert {name: names for name, names in communities("ada").items() if names} == {"community": ["h3a"]}
    assert not any(communities("bo").values())
    assert communities("root")["community"] == ["h3a"]
