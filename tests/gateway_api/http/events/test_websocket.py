"""Events over a WebSocket, spoken by a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from scigate.gateway_api.http.events import fanout, websocket
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.gateway_api.http.conftest import TOKENS, Running, problem

from .conftest import done, journal, submit

SOCKET = "/api/v1/events/ws"
BEARER = {"Authorization": f"Bearer {TOKENS['ada']}"}
PATIENCE = 120.0  # seconds


class Talk:
    """A conversation over one socket."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection

    async def say(self, message: Any) -> None:
        await self.connection.write_message(message if isinstance(message, str | bytes) else json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """The next message, but for signs of life."""
        while (found := await self.hear_all())["op"] == "heartbeat":
            pass
        return found

    async def hear_all(self) -> dict[str, Any]:
        text = await asyncio.wait_for(self.connection.read_message(), PATIENCE)
        assert text is not None, f"closed: {self.connection.close_code} {self.connection.close_reason}"
        found: dict[str, Any] = json.loads(text)
        return found

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Say it, and hear the next answer that is no event."""
        await self.say(message)
        while (answer := await self.hear())["op"] == "event":
            pass
        return answer

    async def events(self, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while not found or not until(found[-1]["event"]):
            if (message := await self.hear())["op"] == "event":
                found.append(message)
        return found


async def connect(
    gateway: Running, protocols: list[str] | None = None, headers: dict[str, str] | None = None
) -> WebSocketClientConnection:
    url = gateway.service.url.replace("http", "ws") + SOCKET
    request = HTTPRequest(url, headers=headers or {}, connect_timeout=PATIENCE, request_timeout=PATIENCE)
    return await websocket_connect(request, subprotocols=protocols)


def talking(gateway: Running, talk: Callable[[Talk], Any]) -> Any:
    """Run a conversation of ada's."""

    async def run() -> Any:
        connection = await connect(gateway, ["scigate.v1"], BEARER)
        try:
            return await talk(Talk(connection))
        finally:
            connection.close()

    return asyncio.run(run())


@contextlib.contextmanager
def opened(gateway: Running, said: bytes = b"") -> Iterator[socket.socket]:
    """A WebSocket of ada's on a bare socket, on which this is said with the handshake; what comes is unread."""
    with socket.create_connection(("127.0.0.1", gateway.service.port), timeout=PATIENCE) as raw:
        raw.sendall(
            f"GET {SOCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: {BEARER['Authorization']}\r\n\r\n".encode() + said
        )  # fmt: skip
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = raw.recv(1)
            assert piece, head
            head += piece
        assert head.startswith(b"HTTP/1.1 101")
        yield raw


def refusal(gateway: Running, **given: Any) -> httpx.Response:
    """The answer to a handshake that is refused."""

    async def run() -> httpx.Response:
        try:
            (await connect(gateway, **given)).close()
        except HTTPClientError as error:
            assert error.response is not None
            return httpx.Response(error.code, headers=dict(error.response.headers), content=error.response.body)
        raise AssertionError("it was not refused")

    return asyncio.run(run())


def ticket(client: httpx.Client) -> str:
    answer = client.post("/api/v1/tickets")
    assert answer.status_code == 201
    return str(answer.json()["ticket"])


@pytest.fixture
def finished_one(gateway: Running, ada: httpx.Client) -> str:
    (gateway.folder / "lab" / "ws").write_bytes(b"1")
    id = submit(ada, ("lab:/ws", "mem:/ws"))
    talking(gateway, lambda talk: _until_done(talk, id))
    return id


async def _until_done(talk: Talk, id: str) -> list[dict[str, Any]]:
    await talk.ask(op="subscribe", topic=f"transfer:{id}", after="0")
    return await talk.events(done(id))


def test_many_topics_on_one_connection(gateway: Running, ada: httpx.Client, finished_one: str) -> None:
    async def talk(it: Talk) -> tuple[list[dict[str, Any]], str]:
        one = {"op": "subscribe", "id": "1", "topic": f"transfer:{finished_one}", "after": "0"}
        two = {"op": "subscribe", "id": "2", "topic": "transfers", "types": ["scigate.transfer.done"]}
        assert await it.ask(**one) == {"op": "subscribed", "id": "1", "topic": one["topic"], "after": "0"}
        assert (await it.ask(**two))["op"] == "subscribed"
        id = submit(ada, ("lab:/ws", "mem:/ws2"))
        return await it.events(done(id)), id

    heard, id = talking(gateway, talk)
    assert [one["event"] for one in heard if one["topic"] == "transfers"] == journal(ada, id)[-1:]
    first = [one["event"] for one in heard if one["topic"] == f"transfer:{finished_one}"]
    whole = journal(ada, finished_one)
    assert first == whole[len(whole) - len(first) :], "what came beside an answer is passed over by this test"


def test_nothing_comes_before_the_answer_and_everything_behind_it(gateway: Running, finished_one: str) -> None:
    async def talk(it: Talk) -> list[dict[str, Any]]:
        await it.say({"op": "subscribe", "id": "x", "topic": f"transfer:{finished_one}", "after": "0"})
        assert (await it.hear())["op"] == "subscribed"
        return await it.events(done(finished_one))

    heard = talking(gateway, talk)
    assert [one["event"] for one in heard] == journal(gateway.client("ada"), finished_one)


def test_what_is_unsubscribed_is_silent(gateway: Running, ada: httpx.Client) -> None:
    async def talk(it: Talk) -> list[dict[str, Any]]:
        await it.ask(op="subscribe", topic="transfers")
        assert await it.ask(op="unsubscribe", id="u", topic="transfers") == {
            "op": "unsubscribed", "id": "u", "topic": "transfers"
        }  # fmt: skip
        gone = await it.ask(op="unsubscribe", id="u", topic="transfers")
        assert (gone["op"], gone["problem"]["code"]) == ("error", "not-subscribed")
        (gateway.folder / "lab" / "silent").write_bytes(b"1")
        id = submit(ada, ("lab:/silent", "mem:/silent"))
        return await _until_done(it, id)

    assert {one["topic"] for one in talking(gateway, talk)} & {"transfers"} == set()


def test_a_second_subscription_to_a_topic_replaces_the_first(gateway: Running, finished_one: str) -> None:
    topic = f"transfer:{finished_one}"

    async def talk(it: Talk) -> list[str]:
        await it.ask(op="subscribe", topic=topic)
        await it.say({"op": "subscribe", "topic": topic, "after": "0", "types": ["scigate.transfer.*"]})
        return [one["event"]["type"] for one in await it.events(done(finished_one))]

    assert talking(gateway, talk) == ["scigate.transfer.submitted", "scigate.transfer.done"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "malformed"),
        ("{", "malformed"),
        ("[" * 10_000, "malformed"),
        ("null", "invalid"),
        ('{"op": 5}', "invalid"),
        ('{"op": "destroy"}', "malformed"),
        (b"\xff\xfe", "malformed"),
        ('{"op": "subscribe"}', "invalid"),
        ('{"op": "subscribe", "topic": "transfers", "nonsense": 1}', "invalid"),
        ('{"op": "subscribe", "topic": "files"}', "invalid-topic"),
        ('{"op": "subscribe", "topic": "transfers", "after": "x"}', "invalid-cursor"),
        ('{"op": "subscribe", "topic": "transfers", "types": ["x"]}', "invalid-type"),
        (f'{{"op": "subscribe", "topic": "transfer:{"0" * 32}"}}', "not-found"),
        ('{"op": "subscribe", "topic": "\\ud800"}', "invalid"),
    ],
)
def test_a_wrong_message_gets_an_error_and_the_talk_goes_on(gateway: Running, message: str | bytes, code: str) -> None:
    async def talk(it: Talk) -> tuple[dict[str, Any], dict[str, Any]]:
        await it.connection.write_message(message, binary=isinstance(message, bytes))
        error = await it.hear()
        return error, await it.ask(op="subscribe", id="after", topic="transfers")

    error, answer = talking(gateway, talk)
    assert (error["op"], error["problem"]["code"]) == ("error", code)
    assert error["problem"]["next_step"]
    assert (answer["op"], answer["id"]) == ("subscribed", "after")


def test_an_error_says_which_message_it_is_about(gateway: Running) -> None:
    async def talk(it: Talk) -> dict[str, Any]:
        return await it.ask(op="subscribe", id="mine", topic="files")

    assert talking(gateway, talk)["id"] == "mine"


def test_somebody_elses_transfer_is_not_there(gateway: Running, finished_one: str) -> None:
    bearer = {"Authorization": f"Bearer {TOKENS['bo']}"}

    async def run() -> dict[str, Any]:
        connection = await connect(gateway, headers=bearer)
        try:
            return await Talk(connection).ask(op="subscribe", topic=f"transfer:{finished_one}", after="0")
        finally:
            connection.close()

    assert asyncio.run(run())["problem"]["status"] == 404


def test_a_browser_comes_in_with_a_ticket_once(gateway: Running, ada: httpx.Client) -> None:
    word = ticket(ada)

    async def run() -> tuple[str | None, str]:
        connection = await connect(gateway, ["scigate.v1", f"ticket.{word}"], {"Origin": gateway.service.url})
        answer = await Talk(connection).ask(op="subscribe", topic="transfers")
        selected = connection.selected_subprotocol
        connection.close()
        return selected, answer["op"]

    assert asyncio.run(run()) == ("scigate.v1", "subscribed")
    again = refusal(gateway, protocols=["scigate.v1", f"ticket.{word}"])
    assert word not in again.text
    problem(again, 401, "ticket-refused")


def test_without_ticket_or_token_nobody_comes_in(gateway: Running) -> None:
    problem(refusal(gateway), 401, "unauthorized")
    problem(refusal(gateway, protocols=["scigate.v1", "ticket."]), 401, "ticket-refused")
    problem(refusal(gateway, protocols=["scigate.v1", "ticket.wrong"]), 401, "ticket-refused")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil", "x"])
def test_a_foreign_page_is_refused_and_its_ticket_kept(gateway: Running, ada: httpx.Client, origin: str) -> None:
    word = ticket(ada)
    protocols = ["scigate.v1", f"ticket.{word}"]
    problem(refusal(gateway, protocols=protocols, headers={"Origin": origin}), 403, "foreign-origin")
    problem(refusal(gateway, headers={"Origin": origin, **BEARER}), 403, "foreign-origin")

    async def run() -> str:
        connection = await connect(gateway, protocols)
        selected = connection.selected_subprotocol
        connection.close()
        return str(selected)

    assert asyncio.run(run()) == "scigate.v1"


def test_a_plain_request_is_told_to_upgrade(ada: httpx.Client) -> None:
    answer = ada.get(SOCKET)
    problem(answer, 426, "upgrade-required")
    assert answer.headers["Upgrade"] == "websocket"


def test_a_message_that_is_too_large_ends_it(gateway: Running) -> None:
    async def talk(it: Talk) -> int | None:
        await it.say("x" * (websocket.LARGEST_MESSAGE + 1))
        while (text := await asyncio.wait_for(it.connection.read_message(), PATIENCE)) is not None:
            assert json.loads(text)["op"] == "heartbeat"
        return it.connection.close_code

    assert talking(gateway, talk) in (1009, None)
    connections, end = gateway.service._http._site.fanout._connections, time.monotonic() + PATIENCE
    while connections and time.monotonic() < end:  # we may hear of the end before the gateway's loop does
        time.sleep(0.01)
    assert not connections


def test_who_floods_is_disconnected(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST_MESSAGES", 20)

    with opened(gateway, 30 * (struct.pack("!BB", 0x81, 0x80 | 2) + bytes(4) + b"{}")) as raw:
        heard, policy_violation = b"", b"\x88\x13" + struct.pack("!H", 1008) + b"too many messages"
        while policy_violation not in heard:
            piece = raw.recv(65536)
            assert piece, heard
            heard += piece


def test_topics_of_one_connection_are_limited(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST", 0)

    async def talk(it: Talk) -> dict[str, Any]:
        return await it.ask(op="subscribe", topic="transfers")

    assert talking(gateway, talk)["problem"]["code"] == "too-many-subscriptions"


def test_a_sign_of_life(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "HEARTBEAT", 0.1)

    async def talk(it: Talk) -> dict[str, Any]:
        return await it.hear_all()

    heard = talking(gateway, talk)
    assert heard["op"] == "heartbeat"
    assert heard["time"]


def test_pings_come_too(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "HEARTBEAT", 0.1)
    with opened(gateway) as raw:
        assert raw.recv(1) == b"\x89", "a ping is its first word"


def test_half_a_frame_and_then_nothing_costs_one_connection(gateway: Running, ada: httpx.Client) -> None:
    with opened(gateway, struct.pack("!BB", 0x81, 0x80 | 100) + os.urandom(4) + b"abc"):
        assert ada.get("/healthz").status_code == 200
