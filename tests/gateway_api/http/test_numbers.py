"""The numbers of dashboards: room, rates, who is here, where the storages come from."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from scigate.gateway_api import presence

from .conftest import Running, finished, problem, serving, write_settings

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
    with serving(write_settings(folder, SETTINGS.format(folder=folder))) as running:
        yield running


def storages(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in client.get(f"{V1}/storages").json()["items"]}


def test_room_is_that_of_the_file_system(gateway: Running) -> None:
    client, lab = gateway.client("ada"), gateway.folder / "lab"
    end = time.monotonic() + 120
    while True:  # a look that takes long is told later, for some seconds; others write to this file system meanwhile
        found, real = storages(client), os.statvfs(lab)
        seen = all(found[name]["space"] for name in ("lab", "mem"))
        if seen and abs(found["lab"]["space"]["free"] - real.f_bavail * real.f_frsize) < 1 << 30:
            break
        assert time.monotonic() < end, (found, real)
        time.sleep(0.1)
    assert found["lab"]["space"]["total"] == real.f_blocks * real.f_frsize
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


def test_who_follows_events_is_here(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RECENT", -1.0)
    ada, bo = gateway.client("ada"), gateway.client("bo")
    assert ada.get(f"{V1}/status").json()["users_active"] == 0
    with bo.stream("GET", f"{V1}/events", params={"topics": "transfers"}) as stream:
        assert stream.status_code == 200
        assert ada.get(f"{V1}/status").json()["users_active"] == 1


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


def test_what_finished_makes_one_expect_as_much_of_the_next(gateway: Running) -> None:
    ada = gateway.client("ada")
    (gateway.folder / "lab" / "large").write_bytes(os.urandom(MIB) * 33)
    body = {"files": [{"source": "lab:/large", "destination": "archive:/large"}]}
    done = finished(ada, ada.post(f"{V1}/transfers", json=body).headers["Location"])
    found = rates_of(ada, done["id"])
    (attempt,) = found["attempts"]
    assert attempt["file"].startswith(done["id"])
    assert attempt["ended"]
    assert 1 <= len(attempt["points"]) <= 120
    assert all(rate >= 0 for _, rate in attempt["points"])
    assert found["expected"] == storages(ada)["archive"]["expected_rate"] > 0
    later = {**body, "overwrite": "overwrite", "not_before": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    waiting = ada.post(f"{V1}/transfers", json=later).json()["transfer"]
    assert waiting["expected_rate"] == found["expected"]
    (listed,) = ada.get(f"{V1}/transfers", params={"state": "WAITING"}).json()["items"]
    assert (listed["id"], listed["expected_rate"]) == (waiting["id"], found["expected"])
    ada.post(f"{V1}/transfers/{waiting['id']}/cancel")
    problem(gateway.client("bo").get(f"{V1}/transfers/{done['id']}/rates"), 404, "not-found")


def rates_of(client: httpx.Client, transfer: str) -> dict[str, Any]:
    """Once the attempt at its file is over: what it was like is written after the file is DONE."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found: dict[str, Any] = client.get(f"{V1}/transfers/{transfer}/rates").json()
        if found["attempts"] and all(one["ended"] for one in found["attempts"]) and found["expected"]:
            return found
        time.sleep(0.02)
    raise AssertionError(found)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"not_before": 2, "deadline": 1}, "which is not before its deadline"),
        ({"not_before": 24 * 40}, "more than 31 days from now"),
        ({"deadline": -1}, "has passed"),
    ],
)
def test_times_that_cannot_be_are_refused_everywhere_in_words(
    gateway: Running, times: dict[str, int], said: str
) -> None:
    ada = gateway.client("ada")
    told = {name: (datetime.now(UTC) + timedelta(hours=hours)).isoformat() for name, hours in times.items()}
    submit = ada.post(f"{V1}/transfers", json={"files": [{"source": "lab:/a", "destination": "mem:/a"}], **told})
    lines = {
        "content": b'{"source":"lab:/a","destination":"mem:/a"}\n',
        "headers": {"Content-Type": "application/x-ndjson"},
    }
    bulk = ada.post(f"{V1}/transfers/bulk", params=told, **lines)
    for answer in (submit, bulk):
        refused = problem(answer, 422, "invalid-transfer")
        assert said in refused["detail"]
        assert refused["errors"][0]["pointer"] in ("/not_before", "/deadline")
    said = said.replace("31 days", "7 days")
    folder = ada.post(f"{V1}/manifests", json={"destination": "lab:/f/", "files": [{"path": "x", "size": 1}], **told})
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": metadata(destination="lab:/f/x", **told)}
    put = ada.put(f"{V1}/files/lab/f/x", params=told, content=b"x")
    ietf = ada.post(f"{V1}/uploads", params={"destination": "lab:/f/x", **told}, headers={"Upload-Complete": "?0"})
    for answer in (folder, ada.post(f"{V1}/uploads", headers=tus), put, ietf):
        assert said in problem(answer, 422, "invalid-transfer")["detail"]


def test_an_upload_for_later_has_to_fit_into_the_room_for_uploads(gateway: Running) -> None:
    later = {"destination": "mem:/x", "not_before": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(1 << 40), "Upload-Metadata": metadata(**later)}
    ada = gateway.client("ada")
    problem(ada.post(f"{V1}/uploads", headers=tus), 413, "too-large")
    files = [{"path": name, "size": 6 << 30} for name in ("a", "b")]
    folder = {"destination": "mem:/x/", "files": files, "not_before": later["not_before"]}
    problem(ada.post(f"{V1}/manifests", json=folder), 413, "too-large")


def metadata(**pairs: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())
