"""The gateway that requests are forwarded to, and the connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .headers import Rewriting, origin_of
from .problem import Refusal, unreachable

CONNECT: Final = 10.0  # seconds
SILENT: Final = 600.0  # seconds without a byte of the answer, once the request has been sent
MOST: Final = 500  # requests under way at once
PIECES: Final = 8  # of a body, each up to 64 KiB, between a client and the gateway
NOT_OURS: Final = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that aiohttp would add."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A gateway, as this server asks it. ``public_path``: its path as browsers see it. Printing shows no token."""

    url: str
    token: str = field(repr=False)
    public_path: str = ""

    def rewriting(self, own: str) -> Rewriting:
        """Its addresses → those below the path ``own``."""
        path = urlsplit(self.url).path.rstrip("/")
        return Rewriting(origin_of(self.url), {path: 0, self.public_path: 0, "": 0}, own)

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"


class Door(Protocol):
    """Where a gateway is found."""

    async def upstream(self) -> Upstream:
        """The gateway. ``Refusal`` with the reason if there is none."""
        ...

    def lost(self, upstream: Upstream) -> bool:
        """``upstream`` cannot be connected to any more, or does not know its token. Whether asking for another one may
        help."""
        ...


class Fixed:
    """A gateway that is where it was said to be."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def upstream(self) -> Upstream:
        return self._upstream

    def lost(self, upstream: Upstream) -> bool:
        return False


class Connections:
    """Connections to gateways, made in the event loop that first needs one."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[object] = set()

    def enter(self, request: object) -> None:
        """A request begins. ``Refusal`` if there are too many."""
        if len(self._under_way) >= MOST:
            raise Refusal(503, "too-many-requests", f"{MOST} requests are under way at this Jupyter Server.",
                          next_step="Try again in a moment.", retriable=True)  # fmt: skip
        self._under_way.add(request)

    def leave(self, request: object) -> None:
        """It has ended; may be said again."""
        self._under_way.discard(request)

    @property
    def http(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENT),
                auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=NOT_OURS,
            )  # fmt: skip
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Body:
    """The pieces of a body, given out once. When its connection breaks, aiohttp from 3.11 to 3.13 sends a PUT again by
    itself: with what is left, and in chunks the gateway would take that for the whole."""

    def __init__(self, pieces: asyncio.Queue[bytes | None]) -> None:
        self._pieces, self._is_begun = pieces, False

    def __aiter__(self) -> Self:
        if self._is_begun:
            raise aiohttp.ClientPayloadError("a body that was sent in part cannot be sent again")
        return self

    async def __anext__(self) -> bytes:
        self._is_begun = True
        if (piece := await self._pieces.get()) is None:
            raise StopAsyncIteration
        return piece


class Exchange:
    """One request on its way to a gateway, its body handed on piece by piece, and the answer."""

    def __init__(self, connections: Connections, door: Door, method: str, target: str, headers: list[tuple[str, str]],
                 *, has_body: bool) -> None:  # fmt: skip
        self._connections, self._door = connections, door
        self._method, self._target, self._headers = method, target, headers
        self._pieces: asyncio.Queue[bytes | None] | None = asyncio.Queue(PIECES) if has_body else None
        self.upstream: Upstream | None = None
        self._sending = asyncio.ensure_future(self._send())
        self._sending.add_done_callback(self._ended)

    async def take(self, piece: bytes | None) -> bool:
        """Hand on a piece of the body, None at its end. False: no more is wanted, as there is an answer or an error."""
        if self._pieces is None or self._sending.done():
            return False
        put = asyncio.ensure_future(self._pieces.put(piece))
        moved, _ = await asyncio.wait({put, self._sending}, return_when=asyncio.FIRST_COMPLETED, timeout=SILENT)
        put.cancel()
        if not moved:  # a gateway that takes nothing for so long takes nothing any more
            self.cancel()
        return bool(moved) and not self._sending.done()

    async def answer(self) -> aiohttp.ClientResponse | None:
        """The answer, its body still to be read. ``Refusal`` if there is none; None if it was cancelled."""
        try:
            await asyncio.wait({self._sending})
            return None if self._sending.cancelled() else self._sending.result()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            where = self.upstream.url if self.upstream else ""
            raise unreachable(where, said(error)) from None

    def cancel(self) -> None:
        """The client has gone: the gateway sees a body that breaks off, never one that is shorter."""
        if not self._sending.done():
            self._sending.cancel()
        elif not self._sending.cancelled() and self._sending.exception() is None:
            self._sending.result().close()

    async def _send(self) -> aiohttp.ClientResponse:
        for last in (False, True):
            self.upstream = await self._door.upstream()
            try:
                response = await self._ask(self.upstream)
            except aiohttp.ClientConnectorError:  # nothing was sent
                if last or not self._door.lost(self.upstream):
                    raise
                continue
            # 401: another one is there now, at the same port; with a body only the next request can find it
            if response.status != 401 or not self._door.lost(self.upstream) or last or self._pieces is not None:
                return response
            response.close()
        raise AssertionError("the second try ends the loop")

    async def _ask(self, upstream: Upstream) -> aiohttp.ClientResponse:
        headers = [*self._headers, ("Authorization", upstream.authorization)]
        return await self._connections.http.request(
            self._method, URL(upstream.url + self._target, encoded=True), headers=headers,
            data=Body(self._pieces) if self._pieces else None, allow_redirects=False,
        )  # fmt: skip

    @staticmethod
    def _ended(sending: asyncio.Future[aiohttp.ClientResponse]) -> None:
        if not sending.cancelled():
            sending.exception()  # it is told by ``answer``, if anybody still asks


def said(error: BaseException) -> str:
    """A connection error in few words, without headers."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "no connection"
    if isinstance(error, TimeoutError):
        return "it is silent"
    return "the connection broke"


async def ask_json(
    connections: Connections, door: Door, method: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """A request of our own: status and JSON. ``Refusal`` if nobody answers, or not with JSON."""
    exchange = Exchange(connections, door, method, path, list((headers or {}).items()), has_body=False)
    response = await exchange.answer()
    assert response is not None, "nobody cancels it"
    try:
        async with response:
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        where = exchange.upstream.url if exchange.upstream else ""
        raise unreachable(where, "what answers there is no gateway") from None
