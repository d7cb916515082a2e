"""Page tickets over HTTP: whoever has one is who made it, for half a minute, and makes no other."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scigate.gateway_api.auth.page_ticket import mint
from scigate.gateway_api.http.events import fanout
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from .conftest import Running, problem

V1 = "/api/v1"


@pytest.fixture(autouse=True)
def _in_time(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ticket expires while a slow machine is about to use it."""
    now = time.time()
    monkeypatch.setattr(gateway.service.gateway.page_tickets, "_clock", lambda: now)


def ticket(client: httpx.Client) -> dict[str, Any]:
    answer = client.post(f"{V1}/tickets/page")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def with_ticket(gateway: Running, word: str) -> httpx.Client:
    return gateway.client(None, auth=bearer(f"Bearer {word}"))


def bearer(authorization: str) -> Callable[[httpx.Request], httpx.Request]:
    """Sends this header."""

    def add(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = authorization
        return request

    return add


def test_it_stands_for_who_made_it(gateway: Running, ada: httpx.Client) -> None:
    made = ticket(ada)
    assert 29 < made["expires_in"] <= 30
    page = with_ticket(gateway, made["ticket"])
    assert page.get(f"{V1}/storages").json() == ada.get(f"{V1}/storages").json()
    assert page.put(f"{V1}/files/mem/ticket", content=b"x").status_code == 202
    problem(page.get("/metrics"), 403, "access-denied")


def test_it_makes_no_other_ticket_of_either_kind(gateway: Running, ada: httpx.Client) -> None:
    page = with_ticket(gateway, ticket(ada)["ticket"])
    problem(page.post(f"{V1}/tickets/page"), 403, "ticket-from-ticket")
    problem(page.post(f"{V1}/tickets"), 403, "ticket-from-ticket")


def test_expired_or_forged_it_is_refused(gateway: Running, ada: httpx.Client) -> None:
    word = ticket(ada)["ticket"]
    key = gateway.service.gateway.page_tickets._key
    actor = gateway.service.gateway.page_tickets.actor(word)
    assert actor is not None
    old, _ = mint(key, actor, gateway.service.gateway.page_tickets._clock() - 31)
    problem(with_ticket(gateway, old).get(f"{V1}/status"), 401, "ticket-expired")
    forged = word[:-1] + ("A" if word[-1] != "A" else "B")
    problem(with_ticket(gateway, forged).get(f"{V1}/status"), 401, "unauthorized")
    problem(gateway.client(None).get(f"{V1}/status", params={"token": word}), 401, "unauthorized")


def test_it_opens_websockets_and_more_than_one(gateway: Running, ada: httpx.Client) -> None:
    word = ticket(ada)["ticket"]
    for _ in range(2):
        answer = asyncio.run(subscribed(gateway, word))
        assert answer["op"] == "subscribed"


async def subscribed(gateway: Running, word: str) -> dict[str, Any]:
    socket = await opened(gateway, word)
    assert socket.selected_subprotocol == "scigate.v1"
    await socket.write_message(json.dumps({"op": "subscribe", "topic": "transfers"}))
    found: dict[str, Any] = {"op": "heartbeat"}
    while found["op"] == "heartbeat":
        found = json.loads(await socket.read_message() or '{"op": "closed"}')
    socket.close()
    return found


async def opened(gateway: Running, word: str) -> WebSocketClientConnection:
    url = f"ws://127.0.0.1:{gateway.service.port}{V1}/events/ws"
    request = HTTPRequest(url, connect_timeout=120, request_timeout=120)
    return await websocket_connect(request, subprotocols=["scigate.v1", f"ticket.{word}"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token", "Token"])
def test_the_scheme_of_hubs_is_understood_too(gateway: Running, ada: httpx.Client, scheme: str) -> None:
    client = gateway.client(None, auth=bearer(f"{scheme} {ticket(ada)['ticket']}"))
    assert client.get(f"{V1}/storages").status_code == 200


def test_who_follows_with_a_ticket_has_to_come_back(
    gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a new ticket, so that nobody goes on for ever whose right has ended. Tokens of the settings do not end."""
    monkeypatch.setattr(fanout, "HEARTBEAT", 0.1)
    monkeypatch.setattr(fanout, "LONGEST", 0.3)
    with with_ticket(gateway, ticket(ada)["ticket"]).stream("GET", f"{V1}/events") as answer:
        told = answer.read().decode()
    assert told.startswith("retry: "), "and it ended in order"
    with ada.stream("GET", f"{V1}/events") as answer:
        beats = (line for line in answer.iter_lines() if line.startswith(": heartbeat"))
        assert len(list(itertools.islice(beats, 8))) == 8
    code = asyncio.run(closed(gateway, ticket(ada)["ticket"]))
    assert code == 1001


async def closed(gateway: Running, word: str) -> int | None:
    socket = await opened(gateway, word)
    while await socket.read_message() is not None:
        pass
    return socket.close_code
