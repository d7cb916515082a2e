"""Server-sent events (WHATWG HTML, §9.2): the stream of one connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field
from tornado.iostream import StreamClosedError

from ...events.cloudevents import as_json
from ...events.journal import Line
from ...problems import Problem
from ..handler import Handler
from ..route import Query
from .backlog import Backlog
from .fanout import STALL, Connection, Progress, Reader

if TYPE_CHECKING:
    from ...resources import Event

RETRY: Final = 3000  # milliseconds that a client waits before it comes back
SEND_BUFFER: Final = 16 << 10  # bytes that the kernel keeps for one follower; it doubles them


class StreamQuery(Query):
    """What to follow."""

    topics: str = Field(default="transfers", max_length=8000,
                        description="'transfers', or 'transfer:<id>'; several with commas between")  # fmt: skip
    types: str = Field(default="", max_length=8000,
                       description="only these, with commas between; one may end in '.*'. Empty: all")  # fmt: skip
    after: str | None = Field(default=None, description="the id of the last event seen; without it: from now on")
    progress: bool = Field(default=False, description="also tell every second how far the transfers are that move")


class StreamHandler(Handler):
    """``GET /api/v1/events``."""

    lasts = True

    async def get(self) -> None:
        self.raise_refusal()
        self._check_accept()
        query = self.query
        assert isinstance(query, StreamQuery)
        after = self.request.headers.get("Last-Event-ID") or query.after  # of one that reconnects, to the same URL
        events = self.site.gateway.events
        following = await self.run(
            events.follow, self.actor, query.topics.split(","), _listed(query.types), after or None
        )  # fmt: skip
        self._connection = StreamConnection(self)
        self.site.fanout.admit(self._connection)
        reader = Reader(self._connection, following, progress=query.progress)
        self._connection.reader = reader
        try:
            await self._open(reader)
            self.site.fanout.follow(reader)
            await self._connection.over
        except StreamClosedError:
            pass
        finally:
            self.site.fanout.dismiss(self._connection, [reader])

    async def head(self) -> None:
        """What ``get`` would begin with."""
        self.raise_refusal()
        self._check_accept()
        self._set_headers()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if hasattr(self, "_connection"):
            self._connection.end()

    def _check_accept(self) -> None:
        accepted = self.request.headers.get("Accept", "*/*")
        if not any(kind in accepted for kind in ("text/event-stream", "text/*", "*/*")):
            raise Problem(406, "not-acceptable", "This is a stream of server-sent events.",
                          next_step="Send 'Accept: text/event-stream'.")  # fmt: skip

    def _set_headers(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep events back

    async def _open(self, reader: Reader) -> None:
        """Answer at once, with the id to come back with."""
        self.site.running.discard(self)  # the server does not wait for it when it stops
        self._connection.backlog = limit_socket(self.request.connection.stream.socket)  # type: ignore[union-attr]
        self._set_headers()
        self.write(b"retry: %d\nid: %d\n\n" % (RETRY, reader.cursor))
        await self.flush()


class StreamConnection(Connection):
    """The socket of a stream. ``over`` is done when it ends."""

    reader: Reader

    def __init__(self, handler: StreamHandler) -> None:
        super().__init__(handler.actor)
        self._handler = handler
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write_lines(self, reader: Reader, lines: Sequence[Line]) -> asyncio.Future[None]:
        return self._write(b"".join(
            b"id: %d\nevent: %s\ndata: %s\n\n" % (line.id, line.type.encode(), line.text) for line in lines
        ))  # fmt: skip

    def write_progress(self, told: Progress) -> asyncio.Future[None]:
        return self._write(b"".join(_without_id(event) for _, event in told))

    def write_heartbeat(self) -> asyncio.Future[None]:
        """The id tells what has been passed over because it was not wanted."""
        return self._write(b": heartbeat\nid: %d\n\n" % self.reader.cursor)

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def abort(self) -> None:
        self._handler.request.connection.stream.close()  # type: ignore[union-attr]
        self.end()

    def _write(self, data: bytes) -> asyncio.Future[None]:
        self.last_write = len(data)
        self._handler.write(data)
        return self._handler.flush()


def limit_socket(one: Any) -> Backlog:
    """Keep the kernel from buffering much for who does not read, and let it give up who is gone."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT") and one.family in (socket.AF_INET, socket.AF_INET6):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALL * 1000))
    return Backlog(one)


def _without_id(event: Event) -> bytes:
    """Nothing to resume from."""
    return b"event: %s\ndata: %s\n\n" % (event.type.encode(), as_json(event).encode())


def _listed(text: str) -> list[str]:
    return text.split(",") if text else []
