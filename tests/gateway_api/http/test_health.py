"""A part of the gateway that has ended is seen, though everything else goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scigate.gateway_api.events import webhooks_delivery

from .conftest import Running, problem
from .events.conftest import following, submit


@pytest.mark.parametrize("part", ["events", "webhooks"])
def test_a_thread_that_has_ended_is_reported(part: str, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    anybody, ada = gateway.client(None), gateway.client("ada")
    assert anybody.get("/readyz").status_code == 200
    assert checks(ada)[part]["ok"]
    thread: Any = {"events": gateway.service._feed, "webhooks": gateway.service._deliveries}[part]
    monkeypatch.setattr(thread, "is_alive", lambda: False)
    assert "not delivered" in problem(anybody.get("/readyz"), 503, "not-ready")["detail"]
    assert not checks(ada)[part]["ok"]
    assert "Restart" in checks(ada)[part]["next_step"]


def checks(client: httpx.Client) -> dict[str, Any]:
    return {check["name"]: check for check in client.get("/api/v1/status").json()["checks"]}


def test_a_commit_of_ours_wakes_the_webhooks(
    gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[float] = []
    monkeypatch.setattr(gateway.service._deliveries, "_round", lambda: rounds.append(time.monotonic()))
    monkeypatch.setattr(webhooks_delivery, "TICK", 3600.0)
    until(lambda: rounds)  # from now on nothing but a commit wakes them
    time.sleep(3 * webhooks_delivery.PAUSE)
    before = len(rounds)
    (gateway.folder / "lab" / "a").write_bytes(b"a")
    submit(ada, ("lab:/a", "mem:/a"))
    until(lambda: len(rounds) > before)


def test_the_end_of_a_stream_is_logged_and_its_time_is_not_a_latency(
    gateway: Running, ada: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scigate.access")
    with following(ada):
        time.sleep(0.1)
    until(lambda: "GET /api/v1/events 200" in caplog.text)
    root = gateway.client("root")
    text = root.get("/metrics").text
    assert 'scigate_http_requests_total{method="GET",route="/api/v1/events",status="200"} 1.0' in text
    assert 'scigate_http_request_seconds_count{route="/api/v1/events"}' not in text


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
