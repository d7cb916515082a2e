"""The storage API, forwarded: requests and answers stream through, back-pressure reaches both ends."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import aiohttp
from tornado.gen import with_timeout
from tornado.iostream import StreamClosedError

from .headers import is_plain, query_to_gateway, to_client, to_gateway
from .problem import Refusal
from .problem_handler import DRAINED, READS, ProblemHandler
from .upstream import Door, Exchange

if TYPE_CHECKING:
    from .app import ScigateExtension

log = logging.getLogger(__name__)
STALLED: Final = timedelta(seconds=60)
"""A client that does not take one piece in so long is gone."""
BODY_MAX: Final = 1 << 62
"""For tornado; the gateway has the limit."""
SANDBOX: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"


class ForwardHandler(ProblemHandler):
    """Whatever is below ``scigate/api/v1``. The gateway hears of a request only when its caller may make it."""

    exchange: Exchange | None = None
    _unwanted = 0

    @property
    def extension(self) -> ScigateExtension:
        found: ScigateExtension = self.settings["scigate"]
        return found

    def target(self) -> str:
        """Path and query as the gateway gets them, letter for letter."""
        path = self.request.path[self.request.path.index("/scigate/api/v1/") + len("/scigate") :]
        if not is_plain(path):
            raise Refusal(404, "not-found", "There is nothing at this path.", next_step="Leave '.' and '..' out of it.")
        query = query_to_gateway(self.request.query)
        return f"{path}?{query}" if query else path

    async def begin(self) -> None:
        self.note_use()
        self.start(self.extension.door)

    def note_use(self) -> None:
        """Who changes something uses the server; who only looks, perhaps a page left open, keeps it from no rest."""
        if self.request.method not in READS:
            self.extension.used()

    def start(self, door: Door) -> None:
        """Begin the request to the gateway; what comes of the body goes there."""
        self.extension.connections.enter(self)
        if self.has_body():
            self.request.connection.set_max_body_size(BODY_MAX)  # type: ignore[union-attr]
        headers = list(to_gateway(self.request.headers.get_all()))
        self.exchange = Exchange(
            self.extension.connections, door, self.request.method or "", self.target(), headers,
            has_body=self.has_body(),
        )  # fmt: skip

    def has_body(self) -> bool:
        return self.content_length() > 0 or "Transfer-Encoding" in self.request.headers

    async def data_received(self, chunk: bytes) -> None:
        if self.exchange is None or self._headers_written:
            return self.drop(chunk)
        if not await self.exchange.take(chunk):
            self._unwanted += len(chunk)
            if self._unwanted > DRAINED:
                await self._answer_early(self.exchange)
        return None

    async def dispatch(self) -> None:
        self.raise_refusal()
        assert self.exchange is not None
        await self.exchange.take(None)
        if response := await self.exchange.answer():
            await self.relay(response)
        else:
            self.cut()

    get = head = post = put = patch = delete = options = dispatch

    async def relay(self, response: aiohttp.ClientResponse) -> None:
        """Pass an answer on: whole, or cut off where the gateway's broke off. The request is not ended by it."""
        try:
            self._check(response)
            self._describe(response)
            await self._flush()
            async for piece in response.content.iter_any():
                self.write(piece)
                await self._flush()
            response.release()
        except (StreamClosedError, TimeoutError, aiohttp.ClientError) as error:
            log.info("%s %s broke off: %s", self.request.method, self.request.path, type(error).__name__)
            self.cut()
        finally:
            response.close()

    def on_connection_close(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()
        self.extension.connections.leave(self)
        super().on_connection_close()

    def on_finish(self) -> None:
        self.extension.connections.leave(self)
        super().on_finish()

    async def _flush(self) -> None:
        await with_timeout(STALLED, self.flush())

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 401:
            raise Refusal(
                502, "token-refused", "The gateway does not accept the token of this Jupyter Server.",
                next_step="Stop this server in the hub's control panel and start it again; without a hub, look at the "
                "token in SCIGATE_TOKEN or ~/.config/scigate/token.",
            )  # fmt: skip
        endless = "Content-Length" not in response.headers and response.status not in (204, 304)
        if endless and self.request.version == "HTTP/1.0" and self.request.method != "HEAD":
            raise Refusal(
                505, "http-version", "This answer needs HTTP/1.1.",
                detail="Its length is not known before its end, which HTTP/1.0 cannot tell from a cut connection.",
                next_step="Use a client or proxy that speaks HTTP/1.1.",
            )  # fmt: skip

    def _describe(self, response: aiohttp.ClientResponse) -> None:
        assert self.exchange is not None
        assert self.exchange.upstream is not None
        self.set_status(response.status, response.reason or "Unknown")
        self.clear_header("Content-Type")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", SANDBOX)
        seen: set[str] = set()
        rewriting = self.exchange.upstream.rewriting(self.prefix())
        for name, value in to_client(response.headers.items(), rewriting):
            (self.add_header if name.lower() in seen else self.set_header)(name, value)
            seen.add(name.lower())

    async def _answer_early(self, exchange: Exchange) -> None:
        """The gateway has said what it has to say, and the client still sends: answer, and drop the rest."""
        self.set_header("Connection", "close")
        try:
            if response := await exchange.answer():
                await self.relay(response)
        except Refusal as refusal:
            self.refused = refusal
            await self.answer_early()

    def cut(self) -> None:
        """End the connection so that neither the length nor the last chunk is reached."""
        self.request.connection.close()  # type: ignore[union-attr]
        self._finished = True
        self._log()
        self.on_finish()
