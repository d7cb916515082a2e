"""The gateway's WebSocket of events, forwarded."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import aiohttp
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from yarl import URL

from .headers import query_to_gateway
from .problem import Refusal, unreachable
from .problem_handler import ProblemHandler
from .upstream import Upstream, said

if TYPE_CHECKING:
    from .app import ScigateExtension

log = logging.getLogger(__name__)
PROTOCOL: Final = "scigate.v1"
PATH: Final = "/api/v1/events/ws"
LARGEST_ASKED: Final = 16 << 10  # bytes of a message; the gateway takes no larger one
LARGEST_TOLD: Final = 16 << 20
GATEWAY_GONE: Final = 1012  # "service restart", RFC 6455 registry: connect again
NORMAL: Final = 1000


class EventsSocket(ProblemHandler, WebSocketHandler):
    """``GET scigate/api/v1/events/ws``: messages pass both ways, each side's slowness slows the other."""

    _upstream: aiohttp.ClientWebSocketResponse | None = None
    _telling: asyncio.Task[None] | None = None
    _closing: asyncio.Task[bool] | None = None

    async def get(self, *_: str, **__: str) -> None:
        self.raise_refusal()
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            self.set_header("Upgrade", "websocket")
            raise Refusal(426, "upgrade-required", "Only a WebSocket is spoken here.",
                          next_step="Open it with a WebSocket client, or use GET scigate/api/v1/events.")  # fmt: skip
        self._extension.connections.enter(self)
        self._upstream = await self._connect()
        await WebSocketHandler.get(self)
        if self.ws_connection is None:  # it was no proper handshake
            await self._upstream.close()

    def on_finish(self) -> None:
        """Of the handshake; if that has failed, this is the end."""
        if self.ws_connection is None:
            self._extension.connections.leave(self)
        super().on_finish()

    @property
    def _extension(self) -> ScigateExtension:
        found: ScigateExtension = self.settings["scigate"]
        return found

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return PROTOCOL if PROTOCOL in subprotocols else None

    @property
    def max_message_size(self) -> int:
        return LARGEST_ASKED

    @property
    def ping_interval(self) -> float:
        """None of our own: the gateway sends heartbeats."""
        return 0

    def open(self, *_: str, **__: str) -> None:
        self.set_nodelay(True)
        self._telling = asyncio.ensure_future(self._tell())

    async def on_message(self, message: str | bytes) -> None:
        assert self._upstream is not None
        try:
            await (self._upstream.send_str(message) if isinstance(message, str) else self._upstream.send_bytes(message))
        except (ConnectionError, aiohttp.ClientError):
            self.close(GATEWAY_GONE, "the gateway has gone")

    def on_close(self) -> None:
        self._extension.connections.leave(self)
        if self._telling is not None:
            self._telling.cancel()
        if self._upstream is not None:
            self._closing = asyncio.ensure_future(self._upstream.close(code=NORMAL))

    async def _tell(self) -> None:
        """Pass on what the gateway says until it ends, then end as it did."""
        assert self._upstream is not None
        try:
            async for message in self._upstream:
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                await self.write_message(message.data, binary=message.type is aiohttp.WSMsgType.BINARY)
        except WebSocketClosedError:
            return
        code = self._upstream.close_code
        abnormal = code is None or code in (1005, 1006)  # never sent on the wire (RFC 6455 §7.4.1)
        self.close(GATEWAY_GONE if abnormal else code, "the gateway has gone" if abnormal else None)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        extension = self._extension
        for last in (False, True):
            upstream = await extension.door.upstream()
            try:
                return await self._ask(extension, upstream)
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 401 and not last and extension.door.lost(upstream):
                    continue
                raise Refusal(
                    502, "no-websocket", f"The gateway refuses the WebSocket with status {error.status}.",
                    next_step="Try again in a moment; if it stays so, the gateway's log tells the reason.",
                ) from None  # fmt: skip
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last or not extension.door.lost(upstream):
                    raise unreachable(upstream.url, said(error)) from None
        raise AssertionError("the second try ends the loop")

    async def _ask(self, extension: ScigateExtension, upstream: Upstream) -> aiohttp.ClientWebSocketResponse:
        query = query_to_gateway(self.request.query)
        url = upstream.url + PATH + (f"?{query}" if query else "")
        return await extension.connections.http.ws_connect(
            URL(url, encoded=True), protocols=[PROTOCOL], headers={"Authorization": upstream.authorization},
            max_msg_size=LARGEST_TOLD, compress=0, timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
        )  # fmt: skip
