"""What is answered in the gateway's place."""

from __future__ import annotations

import json

import pytest
from scigate.hub_config.unavailable import Outage, Request, answer

PREFIX = "/services/scigate/"
OUTAGE = Outage("<b>scigate.toml</b> cannot be used.", "Correct it.")


def _parts(head: str) -> tuple[list[str], str]:
    lines, _, body = answer(Request.parse(head.encode()), PREFIX, OUTAGE).decode().partition("\r\n\r\n")
    return lines.split("\r\n"), body


def test_the_page_shows_data_as_text() -> None:
    head, body = _parts(f"GET {PREFIX} HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1")
    assert head[0] == "HTTP/1.1 503 Service Unavailable"
    assert "&lt;b&gt;scigate.toml&lt;/b&gt; cannot be used." in body
    assert f"Content-Length: {len(body)}" in head
    assert '<a href="">Try again</a>' in body
    assert "http-equiv" not in body, "who has it read aloud would lose their place again and again"


def test_programs_get_problem_details() -> None:
    head, body = _parts(f"POST {PREFIX}api/v1/transfers?x=1 HTTP/1.1\r\nAccept: */*")
    assert "Content-Type: application/problem+json" in head
    assert json.loads(body) == {
        "type": "tag:scigate,2026:problem:gateway-not-running",
        "title": "The gateway does not run.",
        "status": 503,
        "detail": OUTAGE.reason,
        "code": "gateway-not-running",
        "retriable": True,
        "next_step": OUTAGE.next_step,
    }


@pytest.mark.parametrize(
    "forwarded", ["X-Forwarded-For: 1.2.3.4", "x-forwarded-proto: https", "Forwarded: for=1.2.3.4"]
)
def test_only_the_hub_itself_is_told_that_all_is_well(forwarded: str) -> None:
    assert _parts(f"GET {PREFIX} HTTP/1.1\r\nHost: x")[0][0] == "HTTP/1.1 200 OK"
    assert _parts(f"GET {PREFIX} HTTP/1.1\r\n{forwarded}")[0][0].startswith("HTTP/1.1 503")
    assert _parts("GET /services/scigate/healthz HTTP/1.1\r\nHost: x")[0][0].startswith("HTTP/1.1 503")


def test_head_has_no_body() -> None:
    head, body = _parts(f"HEAD {PREFIX} HTTP/1.1\r\nHost: x")
    assert body == ""
    assert not any(line == "Content-Length: 0" for line in head)


def test_what_is_no_http_is_no_request() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Request.parse(b"\x16\x03\x01")
