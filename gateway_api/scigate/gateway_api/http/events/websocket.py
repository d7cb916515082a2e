"""Events over a WebSocket (RFC 6455): many topics on one connection, in JSON messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field
from scigate.storage_backends.errors import StorageError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ...actor import Actor
from ...db.database import DatabaseUnavailable
from ...events.cloudevents import as_json
from ...events.journal import Line
from ...events.topics import MOST
from ...problems import Problem, from_storage
from ...resources import Request
from ..body import malformed, read_json
from ..handler import Handler
from .fanout import HEARTBEAT, Connection, Progress, Reader
from .stream import limit_socket

PROTOCOL: Final = "scigate.v1"
TICKET: Final = "ticket."
LARGEST_MESSAGE: Final = 16 << 10  # bytes
MOST_MESSAGES: Final = 500  # between two heartbeats
GOING_AWAY, POLICY_VIOLATION = 1001, 1008  # RFC 6455 §7.4.1


class _Operation(BaseModel):
    """What any message says first."""

    op: str


class Subscribe(Request):
    """Follow a topic; once more for the same topic replaces what was asked before."""

    op: Literal["subscribe"]
    id: str | None = Field(default=None, max_length=100)
    topic: str = Field(max_length=100)
    types: list[str] = Field(default=[], max_length=MOST)
    after: str | None = Field(default=None, max_length=100)
    progress: bool = False


class Unsubscribe(Request):
    """Follow a topic no more."""

    op: Literal["unsubscribe"]
    id: str | None = Field(default=None, max_length=100)
    topic: str = Field(max_length=100)


class SocketHandler(Handler, WebSocketHandler):
    """``GET /api/v1/events/ws``. Messages are answered one after the other; a wrong one gets an error, not a close."""

    _connection: SocketConnection | None = None

    async def get(self, *_: Any, **__: Any) -> None:
        self.raise_refusal()
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            self.error_headers |= {"Upgrade": "websocket"}
            raise Problem(426, "upgrade-required", "Only a WebSocket is spoken here.",
                          next_step="Open it with a WebSocket client, or use GET /api/v1/events.")  # fmt: skip
        connection = SocketConnection(self)
        self.site.fanout.admit(connection)
        self._connection = connection
        await WebSocketHandler.get(self)
        if self.ws_connection is None:  # it was no proper handshake
            self._over()

    async def authenticate(self) -> Actor:
        """By the header, or by a ticket among the subprotocols, which is all that a browser can send along."""
        self._check_origin()
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        tickets = [word.strip().removeprefix(TICKET) for word in offered if word.strip().startswith(TICKET)]
        if not tickets:
            return await super().authenticate()
        if (found := self.site.authentication.of_ticket(tickets[0])) is not None:
            return found
        return await self.run(self.site.gateway.events.redeem, tickets[0])

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return PROTOCOL if PROTOCOL in subprotocols else None

    def check_origin(self, origin: str) -> bool:
        """It was checked before the ticket was used up."""
        return True

    @property
    def max_message_size(self) -> int:
        return LARGEST_MESSAGE

    @property
    def ping_interval(self) -> float:
        return HEARTBEAT

    @property
    def ping_timeout(self) -> float:
        """None: a slow reader answers late. Who takes nothing at all is disconnected by the fan-out."""
        return 0

    def open(self, *_: str, **__: str) -> None:
        self.set_nodelay(True)
        assert self._connection is not None
        self.hold_connection()  # the handshake has been answered, which ends other requests
        self._connection.backlog = limit_socket(self.ws_connection.stream.socket)  # type: ignore[union-attr]

    async def on_message(self, message: str | bytes) -> None:
        assert self._connection is not None
        if self._is_flood():
            return
        try:
            answer = await self._connection.answer(message)
        except (Problem, StorageError) as error:
            problem = error if isinstance(error, Problem) else from_storage(error)
            answer = {"op": "error", "id": _id_of(message), "problem": problem.as_json()}
        except DatabaseUnavailable:
            answer = {"op": "error", "id": _id_of(message), "problem": self._problem(DatabaseUnavailable()).as_json()}
        try:
            await self.write_message(json.dumps(answer))
        except WebSocketClosedError:
            return

    def on_ping(self, data: bytes) -> None:
        self._is_flood()

    def on_close(self) -> None:
        """Its beginning was logged with the answer 101."""
        if self._connection is not None:
            self.log_access(time.monotonic() - self._connection.begun, " (the end of the WebSocket)")
        self._over()

    def _is_flood(self) -> bool:
        """Whoever sends without end, perhaps without reading the answers, is disconnected."""
        assert self._connection is not None
        self._connection.received += 1
        if self._connection.received > MOST_MESSAGES:
            self.close(POLICY_VIOLATION, "too many messages")
        return self._connection.received > MOST_MESSAGES

    def _over(self) -> None:
        if self._connection is not None:
            self.site.fanout.dismiss(self._connection, self._connection.readers.values())
            self._connection = None

    def _check_origin(self) -> None:
        """A browser says whose page opens the socket (RFC 6455 §10.2); only ours may."""
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.site.is_own_origin(origin, self.request.host):
            raise Problem(403, "foreign-origin", "A page of another site cannot follow events here.",
                          next_step="Open the socket from a page of this gateway's own origin.")  # fmt: skip


class SocketConnection(Connection):
    """The socket, with a reader for each topic."""

    def __init__(self, handler: SocketHandler) -> None:
        super().__init__(handler.actor)
        self._handler = handler
        self.readers: dict[str, Reader] = {}
        self.received = 0
        self.begun = time.monotonic()

    async def answer(self, message: str | bytes) -> dict[str, Any]:
        """Do what a message asks. Raises ``Problem``."""
        data = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
        operation = _operation(data)
        if operation == "subscribe":
            return await self._subscribe(read_json(data, Subscribe))
        if operation == "unsubscribe":
            return self._unsubscribe(read_json(data, Unsubscribe))
        raise malformed(f"There is no operation {operation[:40]!r}: use 'subscribe' or 'unsubscribe'.")

    async def _subscribe(self, asked: Subscribe) -> dict[str, Any]:
        if len(self.readers) >= MOST and asked.topic not in self.readers:
            raise Problem(422, "too-many-subscriptions", f"There are {MOST} topics on this connection.",
                          next_step="Unsubscribe from one, or follow 'transfers'.")  # fmt: skip
        events, handler = self._handler.site.gateway.events, self._handler
        following = await handler.run(events.follow, handler.actor, [asked.topic], asked.types, asked.after)
        self._drop(asked.topic)
        reader = Reader(self, following, progress=asked.progress)
        self.readers[asked.topic] = reader
        # soon, that is, behind the answer, which says where it begins
        asyncio.get_running_loop().call_soon(handler.site.fanout.follow, reader)
        return {"op": "subscribed", "id": asked.id, "topic": asked.topic, "after": str(following.cursor)}

    def _unsubscribe(self, asked: Unsubscribe) -> dict[str, Any]:
        if not self._drop(asked.topic):
            raise Problem(404, "not-subscribed", f"{asked.topic!r} is not followed on this connection.",
                          next_step="Nothing is to be done.")  # fmt: skip
        return {"op": "unsubscribed", "id": asked.id, "topic": asked.topic}

    def _drop(self, topic: str) -> bool:
        reader = self.readers.pop(topic, None)
        if reader is not None:
            self._handler.site.fanout.unfollow(reader)
        return reader is not None

    def write_lines(self, reader: Reader, lines: Sequence[Line]) -> asyncio.Future[None]:
        return self._write([_event(reader, line.text) for line in lines])

    def write_progress(self, told: Progress) -> asyncio.Future[None]:
        return self._write([_event(reader, as_json(event).encode()) for reader, event in told])

    def write_heartbeat(self) -> asyncio.Future[None]:
        self.received = 0
        return self._write([json.dumps({"op": "heartbeat", "time": datetime.now(UTC).isoformat()}).encode()])

    def end(self) -> None:
        self._handler.close(GOING_AWAY, "come back")

    def abort(self) -> None:
        if self._handler.ws_connection is not None:
            self._handler.ws_connection.stream.close()  # type: ignore[union-attr]

    def _write(self, messages: list[bytes]) -> asyncio.Future[None]:
        self.last_write = sum(map(len, messages))
        for message in messages:
            last = self._handler.write_message(message)
            last.add_done_callback(_look_at)
        return last


def _event(reader: Reader, text: bytes) -> bytes:
    return b'{"op":"event","topic":"%s","event":%s}' % (reader.interest.topics[0].encode(), text)


def _look_at(future: asyncio.Future[None]) -> None:
    """A socket that has closed is no error here: its handler is told."""
    if not future.cancelled():
        future.exception()


def _operation(data: bytes) -> str:
    return read_json(data, _Operation).op


def _id_of(message: str | bytes) -> str | None:
    """The id of a message that could not be used, if it has one."""
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    given = found.get("id") if isinstance(found, dict) else None
    return given if isinstance(given, str) and len(given) <= 100 else None
