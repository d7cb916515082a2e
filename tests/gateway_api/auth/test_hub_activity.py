"""Who has transfers on their way is not idle to a real hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from scigate.gateway_api.auth import hub_activity as module
from scigate.gateway_api.auth.hub_activity import Activity
from scigate.gateway_api.settings import HubSection
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.testing.servers import free_ports

from .conftest import Beside
from .hub_process import EVE, quoted, wait_until

SOON = timedelta(seconds=0.1)


@contextmanager
def reporting(activity: Activity) -> Iterator[None]:
    activity.start()
    try:
        yield
    finally:
        activity.stop()


def section(beside: Beside, token: str | None = None) -> HubSection:
    return HubSection(api_url=beside.hub.api, api_token=Secret(token or beside.hub.token))


def last_seen(beside: Beside, user: str) -> str | None:
    found: str | None = beside.hub.ask("GET", f"/users/{quoted(user)}")["last_activity"]
    return found


@pytest.mark.parametrize("user", ["rita", EVE])
def test_the_hub_is_told_again_and_again(beside: Beside, user: str) -> None:
    """Although there is somebody among them who is none of the hub's users."""
    with reporting(Activity(section(beside), lambda: {".", "..", "a-user-of-the-settings", user, "zz/../top"}, SOON)):
        for _ in range(2):
            before = last_seen(beside, user)
            wait_until(lambda before=before: last_seen(beside, user) != before)


def test_who_becomes_a_user_of_the_hub_later_is_told_then(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRANGE_FOR", 0.3)
    with reporting(Activity(section(beside), lambda: {"late", "rita"}, SOON)):
        before = last_seen(beside, "rita")
        wait_until(lambda: last_seen(beside, "rita") != before)  # so late was asked for in vain
        beside.hub.ask("POST", "/users/late")
        try:
            wait_until(lambda: last_seen(beside, "late") is not None)
        finally:
            beside.hub.ask("DELETE", "/users/late")


def test_who_is_not_named_is_not_touched(beside: Beside) -> None:
    before = last_seen(beside, "zoe")
    with reporting(Activity(section(beside), lambda: {"rita"}, SOON)):
        seen = last_seen(beside, "rita")
        wait_until(lambda: last_seen(beside, "rita") != seen)
    assert last_seen(beside, "zoe") == before


def test_their_server_counts_as_used(beside: Beside) -> None:
    beside.hub.server_token("alice")

    def of_server() -> str:
        used: str = beside.hub.ask("GET", "/users/alice")["servers"][""]["last_activity"]
        return used

    try:
        before = of_server()
        with reporting(Activity(section(beside), lambda: {"alice"}, SOON)):
            wait_until(lambda: of_server() != before)
    finally:
        beside.hub.stop_server("alice")


@pytest.mark.parametrize("wrong", ["address", "token"])
def test_a_failure_is_told_once(beside: Beside, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    api = f"http://127.0.0.1:{free_ports(1)[0]}/hub/api" if wrong == "address" else beside.hub.api
    hub = HubSection(api_url=api, api_token=Secret("0" * 32))
    rounds: list[int] = []

    def owners() -> set[str]:
        rounds.append(1)
        return {"rita"}

    with caplog.at_level(logging.INFO, "scigate"), reporting(activity := Activity(hub, owners, timedelta(0))):
        wait_until(lambda: len(rounds) > 5)
    ours = [record for record in caplog.records if record.thread == activity._thread.ident]
    told = [record for record in ours if "cannot be told" in record.getMessage()]
    assert len(told) == 1
    assert "0" * 32 not in told[0].getMessage()


def test_a_gateway_knows_whose_uploads_are_on_their_way(beside: Beside) -> None:
    token, _ = beside.hub.new_token("bob")
    client, tus = beside.client(token), {"Tus-Resumable": "1.0.0"}
    made = client.post("/api/v1/uploads", params={"destination": "lab:/slow"}, headers={**tus, "Upload-Length": "100"})
    assert made.status_code == 201, made.text
    activity = beside.service._hub._activity
    assert activity is not None
    assert "bob" in activity._owners()
    id = made.headers["Location"].rpartition("/")[2]
    assert client.delete(f"/api/v1/uploads/{id}", headers=tus).status_code == 204
    wait_until(lambda: "bob" not in activity._owners())


def test_who_has_never_had_a_server_is_told_too_and_keeps_nobody_from_it(beside: Beside) -> None:
    """As who uses the gateway by a token alone; the hub knows such servers after it has started anew."""
    beside.hub.ask("POST", "/users/aaa-without-server")
    try:
        with reporting(Activity(section(beside), lambda: {"aaa-without-server", "rita"}, SOON)):
            for user in ("aaa-without-server", "rita"):
                before = last_seen(beside, user)
                wait_until(lambda user=user, before=before: last_seen(beside, user) != before)
    finally:
        beside.hub.ask("DELETE", "/users/aaa-without-server")
