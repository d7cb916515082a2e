"""``POST scigate/session``, and who is let in at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from jupyter_server.auth import Authorizer
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from .conftest import PATIENCE

Api = Callable[..., Any]
V1 = "api/v1"
PATIENT: dict[str, Any] = {"connect_timeout": PATIENCE, "request_timeout": PATIENCE}


class ReadersOnly(Authorizer):
    """Lets everybody read, and nobody write."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" or resource != "scigate"


class Nobody(Authorizer):
    """Lets nobody near SciGate."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "scigate"


def problem(answer: tuple[int, Any, Any], status: int, code: str) -> dict[str, Any]:
    """Assert that this is a whole RFC 9457 problem."""
    found, headers, body = answer
    assert (found, body["code"]) == (status, code), body
    assert headers["Content-Type"] == "application/problem+json"
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    return dict(body)


async def test_with_a_hub_a_page_gets_a_ticket_for_the_gateway(hub: Any, api: Api) -> None:
    status, headers, told = await api("POST", "session")
    assert status == 200, told
    assert headers["Cache-Control"] == "no-store"
    ticket = told.pop("ticket")
    assert 0 < told.pop("expires_in") <= 30
    assert told.pop("version")
    assert told == {
        "api": "/services/scigate/api/v1", "home_api": "/a%40b/scigate/api/v1", "user": "ada", "hub": True,
    }  # fmt: skip
    answer = httpx.get(hub.url + "/api/v1/storages", headers={"Authorization": f"Bearer {ticket}"}, timeout=60)
    assert [storage["name"] for storage in answer.json()["items"]] == ["lab"]


async def test_without_a_hub_it_is_all_here(api: Api) -> None:
    _, _, told = await api("POST", "session")
    assert (told["api"], told["ticket"], told["hub"]) == ("/a%40b/scigate/api/v1", None, False)
    assert told["api"] == told["home_api"]


async def test_a_gateway_that_does_not_answer_is_said(hub: Any, api: Api) -> None:
    hub.stop()
    body = problem(await api("POST", "session"), 502, "gateway-unreachable")
    assert hub.service.url in body["detail"]


async def test_a_token_that_the_gateway_does_not_know_is_said(revoked: None, api: Api) -> None:
    problem(await api("POST", "session"), 502, "no-ticket")
    problem(await api("GET", f"{V1}/status"), 502, "token-refused")


@pytest.fixture
def revoked(hub: Any, environment: pytest.MonkeyPatch) -> None:
    """The token of this notebook server is one that the gateway does not know."""
    environment.setenv("JUPYTERHUB_API_TOKEN", "another-token-than-that")


async def test_a_stranger_is_refused_in_words(api: Api) -> None:
    problem(await api("POST", "session", headers={"Authorization": "token wrong"}), 403, "not-signed-in")
    problem(await api("GET", f"{V1}/storages", headers={"Authorization": "token wrong"}), 403, "not-signed-in")


async def signed_in(server: str, token: str) -> dict[str, str]:
    """The cookies of a browser that has opened the server's page."""
    answer = await AsyncHTTPClient().fetch(
        f"{server}tree?token={token}", follow_redirects=False, raise_error=False, **PATIENT
    )
    return dict(value.partition(";")[0].split("=", 1) for value in answer.headers.get_list("Set-Cookie"))


def header_of(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


async def test_a_foreign_page_is_refused(api: Api, jp_serverapp: Any, jp_base_url: str) -> None:
    """A browser sends the cookie by itself; what proves the page is the header."""
    server = f"http://127.0.0.1:{jp_serverapp.port}{jp_base_url}"
    cookies = await signed_in(server, jp_serverapp.identity_provider.token)

    async def post(headers: dict[str, str]) -> tuple[int, str]:
        sent = header_of(cookies) | headers
        answer = await AsyncHTTPClient().fetch(
            f"{server}scigate/session", method="POST", body="", raise_error=False, headers=sent, **PATIENT
        )
        return answer.code, json.loads(answer.body).get("code", "")

    assert await post({}) == (403, "xsrf")
    assert (await post({"X-XSRFToken": cookies["_xsrf"], "Origin": "https://evil.example"}))[0] == 404
    assert (await post({"X-XSRFToken": cookies["_xsrf"]}))[0] == 200


async def test_a_socket_of_a_foreign_page_is_refused(api: Api, jp_serverapp: Any, jp_base_url: str) -> None:
    host = f"127.0.0.1:{jp_serverapp.port}{jp_base_url}"
    cookies = await signed_in(f"http://{host}", jp_serverapp.identity_provider.token)

    async def connect(origin: str) -> Any:
        headers = header_of(cookies) | {"Origin": origin}
        request = HTTPRequest(f"ws://{host}scigate/api/v1/events/ws", headers=headers, **PATIENT)
        return await websocket_connect(request, subprotocols=["scigate.v1"])

    socket = await connect(f"http://127.0.0.1:{jp_serverapp.port}")
    assert socket.selected_subprotocol == "scigate.v1"
    socket.close()
    with pytest.raises(HTTPClientError, match="403"):
        await connect("https://evil.example")


class TestReadersOnly:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = ReadersOnly
        return jp_server_config

    async def test_a_reader_gets_no_ticket(self, hub: Any, api: Api) -> None:
        _, _, told = await api("POST", "session")
        assert (told["ticket"], told["api"]) == (None, told["home_api"])
        assert (await api("GET", f"{V1}/storages"))[0] == 200
        problem(await api("POST", f"{V1}/files/lab/new/"), 403, "access-denied")
        assert not (hub.lab / "new").exists()


class TestNobody:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = Nobody
        return jp_server_config

    async def test_who_is_not_allowed_sees_nothing(self, hub: Any, api: Api) -> None:
        for method, path in (("POST", "session"), ("GET", f"{V1}/storages"), ("GET", f"{V1}/events/ws")):
            problem(await api(method, path), 403, "access-denied")


async def test_a_page_that_came_without_the_cookie_gets_it(hub: Any, api: Api) -> None:
    status, headers, _ = await api("GET", "session")
    assert status == 204
    assert "_xsrf=" in headers["Set-Cookie"]
    assert headers["Cache-Control"] == "no-store"
