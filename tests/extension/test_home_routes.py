"""Which gateway answers a request."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from scigate.extension.home_routes import Whose, whose, whose_change, whose_submission
from scigate.extension.problem import Refusal


def metadata(destination: str) -> dict[str, str]:
    return {"Upload-Metadata": f"filename eA==,destination {base64.b64encode(destination.encode()).decode()}"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("GET", "/api/v1/files/home/a", {}, Whose.HOME),
        ("GET", "/api/v1/files/home/", {}, Whose.HOME),
        ("GET", "/api/v1/files/%68ome/a", {}, Whose.HOME),
        ("GET", "/api/v1/files/homes/a", {}, Whose.SERVICE),
        ("GET", "/api/v1/files/lab/home/a", {}, Whose.SERVICE),
        ("GET", "/api/v1/storages/home", {}, Whose.HOME),
        ("GET", "/api/v1/status", {}, Whose.SERVICE),
        ("POST", "/api/v1/uploads", metadata("home:/x"), Whose.HOME),
        ("POST", "/api/v1/uploads", metadata("lab:/x"), Whose.SERVICE),
        ("POST", "/api/v1/uploads", {"Upload-Metadata": "destination !"}, Whose.SERVICE),
        ("POST", "/api/v1/uploads?destination=home%3A%2Fx", {}, Whose.HOME),
        ("PATCH", "/api/v1/uploads/u1", {}, Whose.ASK),
        ("GET", "/api/v1/transfers/t1/files?limit=1", {}, Whose.ASK),
        ("GET", "/api/v1/transfers/home-1", {}, Whose.JOB),
        ("POST", "/api/v1/transfers/bulk", {}, Whose.SERVICE),
    ],
)
def test_path_and_headers_say_it(method: str, target: str, headers: dict[str, str], expected: Whose) -> None:
    assert whose(method, target, headers) is expected


def pairs(*given: tuple[str, str]) -> dict[str, Any]:
    return {"files": [{"source": source, "destination": destination} for source, destination in given]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pairs(("lab:/a", "s3:/b")), Whose.SERVICE),
        (pairs(("https://example.org/a", "s3:/b")), Whose.SERVICE),
        (pairs(("home:/a", "s3:/b"), ("home:/c", "lab:/d")), Whose.JOB),
        (pairs(("lab:/a", "home:/b"), ("lab:/c", "home:/d")), Whose.JOB),
        (pairs(("home:/a", "home:/b")), Whose.HOME),
        (pairs(("https://example.org/a", "home:/b")), Whose.HOME),
        (None, Whose.SERVICE),
        ({"files": "x"}, Whose.SERVICE),
        ({"files": [1, {"source": 2}]}, Whose.SERVICE),
    ],
)
def test_the_files_of_a_transfer_say_it(request_: Any, expected: Whose) -> None:
    assert whose_submission(request_) is expected


@pytest.mark.parametrize(
    "mixed",
    [
        pairs(("home:/a", "s3:/b"), ("lab:/a", "s3:/b")),
        pairs(("lab:/a", "home:/b"), ("lab:/a", "s3:/b")),
        pairs(("lab:/a", "home:/b"), ("home:/a", "home:/c")),
    ],
)
def test_what_nobody_can_do_as_one_transfer_is_refused(mixed: Any) -> None:
    with pytest.raises(Refusal) as refused:
        whose_submission(mixed)
    assert refused.value.status == 422


def test_a_move_or_a_folder_to_send_goes_where_it_happens() -> None:
    assert whose_change({"source": "home:/a", "destination": "home:/b"}) is Whose.HOME
    assert whose_change({"destination": "home:/in/", "files": []}) is Whose.HOME
    assert whose_change({"source": "lab:/a", "destination": "lab:/b"}) is Whose.SERVICE
    assert whose_change("x") is Whose.SERVICE
