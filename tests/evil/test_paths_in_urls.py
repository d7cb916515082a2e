"""A thousand names that lead elsewhere, with every method that takes a path in its URL: nothing outside is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from scigate.gateway_api.http.routes import ROUTES

from tests.evidence import record

from .attacks import all_attacks, in_header, in_url
from .canary_tree import CanaryTree
from .conftest import planted
from .gateway import Evil
from .volley import Shot, fire

FILES = "/api/v1/files/lab/"
ALWAYS = (("GET", ""), ("PUT", "?overwrite=overwrite"), ("POST", "/"), ("DELETE", ""))
IN_TURN = (("HEAD", ""), ("GET", "?meta=1"), ("GET", "?recursive=1&limit=5"), ("GET", "?archive=zip"),
           ("GET", "/?archive=tar"), ("GET", "/"), ("DELETE", "/"))  # fmt: skip
SHARES = 4


@pytest.fixture(scope="module")
def around(evil: Evil) -> Iterator[CanaryTree]:
    """The lab with folders and links in it, and canaries around it."""
    with planted(evil) as tree:
        yield tree


def test_there_are_a_thousand() -> None:
    assert len({in_url(one) for one in all_attacks()}) >= 1000


def test_every_route_with_a_path_is_attacked() -> None:
    """A new one has to be added to the requests above, or to those of the bodies."""
    with_path = {(route.method, route.path) for route in ROUTES if "path" in route.parameters}
    assert with_path == {(method, "/api/v1/files/{storage}/{path}") for method in ("GET", "PUT", "DELETE", "POST")}


@pytest.mark.parametrize("share", range(SHARES))
def test_no_name_in_a_url_leads_out(evil: Evil, around: CanaryTree, share: int, evil_factor: int) -> None:
    begun, shots = time.monotonic(), []
    for number, attack in enumerate(all_attacks()[share::SHARES]):
        turns = range(len(IN_TURN)) if evil_factor > 1 else [number % len(IN_TURN)]
        for method, more in (*ALWAYS, *(IN_TURN[turn] for turn in turns)):
            shots.append(Shot(method, FILES + in_url(attack) + more, b"inside" if method == "PUT" else b""))
        query = (b"?after=", b"?archive=zip&after=")[number % 2] + in_header(attack)
        shots.append(Shot("GET", FILES.encode() + b"folder/" + query))
    bad = fire(evil, shots)
    traces = around.traces()
    seconds = time.monotonic() - begun
    record("evil.paths", runs=len(shots), bad=len(bad) + len(traces), seconds=seconds, where="urls")
    assert bad == []
    assert traces == []


def test_the_canaries_sing(evil: Evil, around: CanaryTree) -> None:
    """The tests above would see it."""
    around.traces()
    list((evil.folder / "around" / "lab-outside").iterdir())
    assert any("lab-outside" in trace and "opened" in trace for trace in around.traces())
    (around.top / "canary.txt").read_bytes()
    assert any("canary.txt was" in trace and "read" in trace for trace in around.traces())
    (around.top / "etc" / "new").touch()
    assert any("etc/new differs" in trace for trace in around.traces())
    (around.top / "etc" / "new").unlink()
    around.traces()
