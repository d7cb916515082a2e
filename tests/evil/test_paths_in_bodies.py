"""The same names where they come in bodies, metadata and headers: moves, transfers, manifests, uploads, storages."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator

import pytest
from scigate.gateway_api.http.routes import ROUTES

from tests.evidence import record

from .attacks import all_attacks, in_header, in_json, in_url
from .canary_tree import CanaryTree
from .conftest import planted
from .gateway import Evil
from .volley import Shot, fire

V1 = "/api/v1"
SHARES = 4
WITH_PATHS = {"/api/v1/moves", "/api/v1/transfers", "/api/v1/transfers/bulk", "/api/v1/manifests", "/api/v1/uploads"}
WITHOUT = {"/api/v1/webhooks", "/api/v1/webhooks/{id}/replay", "/api/v1/uploads/{id}"}
IN_ITS_URL = {"/api/v1/files/{storage}/{path}"}
"""Tried in ``test_paths_in_urls``."""


@pytest.fixture(scope="module")
def around(evil: Evil) -> Iterator[CanaryTree]:
    with planted(evil) as tree:
        yield tree


def test_every_route_with_a_body_is_known() -> None:
    """A new one has to be added to those above, and to the requests below if paths are in it."""
    assert {route.path for route in ROUTES if route.body} == WITH_PATHS | WITHOUT | IN_ITS_URL


def metadata(**values: str) -> str:
    return ",".join(
        f"{key} {base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}" for key, value in values.items()
    )


def creation(length: int = 0, **values: str) -> Shot:
    """An empty upload, so that its file is written at once."""
    given = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length), "Upload-Metadata": metadata(**values)}
    return Shot("POST", f"{V1}/uploads", b"", given)


def bulk(source: str, destination: str) -> Shot:
    line = json.dumps({"source": source, "destination": destination}).encode() + b"\n"
    return Shot("POST", f"{V1}/transfers/bulk?overwrite=overwrite", line, {"Content-Type": "application/x-ndjson"})


def shots_of(name: str) -> list[Shot]:
    """Every place in a body or header that holds a path, with ``name`` in it."""
    files = f"{V1}/transfers"

    def pair(source: str, destination: str) -> dict[str, object]:
        return {"files": [{"source": source, "destination": destination}], "overwrite": "overwrite"}

    return [
        Shot("POST", f"{V1}/moves", {"source": f"lab:/{name}", "destination": "lab:/moved", "overwrite": True}),
        Shot("POST", f"{V1}/moves", {"source": "lab:/file", "destination": f"lab:/{name}"}),
        Shot("POST", files, pair(f"lab:/{name}", "peer:/in/")),
        Shot("POST", files, pair("lab:/folder/file", f"lab:/{name}")),
        Shot("POST", files, pair(name, "peer:/plain")),
        bulk(f"lab:/{name}", "peer:/bulk"),
        bulk("lab:/folder/file", f"peer:/{name}"),
        creation(destination=f"lab:/{name}"),
        creation(destination="lab:/up/", filename=name),
        creation(destination="lab:/up/", relativePath=name),
        Shot("POST", f"{V1}/manifests", {"destination": "lab:/in/", "files": [{"path": name, "size": 0}]}),
        Shot("POST", f"{V1}/manifests", {"destination": f"lab:/{name}/", "files": [{"path": "a", "size": 0}]}),
    ]


def names_of_storages(attack: str) -> list[Shot]:
    return [
        Shot("GET", f"{V1}/storages/{in_url(attack)}"),
        Shot("GET", f"{V1}/transfers/{in_url(attack)}"),
        Shot("GET", f"{V1}/files/{in_url(attack)}/canary.txt"),
        Shot("POST", f"{V1}/uploads?destination={in_header('lab:/' + attack).decode()}", b"",
             {"Tus-Resumable": "1.0.0", "Upload-Length": "0"}),
    ]  # fmt: skip


@pytest.mark.parametrize("share", range(SHARES))
def test_no_name_in_a_body_leads_out(evil: Evil, around: CanaryTree, share: int, evil_factor: int) -> None:
    begun, shots = time.monotonic(), []
    for number, attack in enumerate(all_attacks()[share::SHARES]):
        every = [shot for name in in_json(attack)[-1:] for shot in shots_of(name)]
        every += names_of_storages(attack)
        kept = every if evil_factor > 1 else [shot for turn, shot in enumerate(every) if (turn + number) % 8 == 0]
        shots += kept
    bad = fire(evil, shots)
    settle(evil)
    traces, leaked = around.traces(), list(around.leaks())
    record("evil.paths", runs=len(shots), bad=len(bad) + len(traces) + len(leaked),
           seconds=time.monotonic() - begun, where="bodies")  # fmt: skip
    assert bad == []
    assert traces == []
    assert leaked == []


def settle(evil: Evil) -> None:
    """Cancel what waits, and wait until nothing moves: then everything that could be written has been."""
    wire, end = evil.wire("root"), time.monotonic() + 150
    while time.monotonic() < end:
        states = [
            one for state in ("QUEUED", "ACTIVE", "WAITING", "CANCELLING")
            for one in wire.ask("GET", f"{V1}/transfers?state={state}&limit=1000").json["items"]
        ]  # fmt: skip
        if not states:
            return
        for one in states:
            if one["state"] == "WAITING":
                wire.ask("POST", f"{V1}/transfers/{one['id']}/cancel")
        time.sleep(0.1)
    raise AssertionError(f"still moving: {states[:3]}")
