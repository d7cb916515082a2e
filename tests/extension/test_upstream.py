"""A body on its way to a gateway that breaks off: never sent a second time, with what is left of it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from scigate.extension.problem import Refusal
from scigate.extension.upstream import Body, Connections, Exchange, Fixed, Upstream


def test_a_body_is_given_out_once() -> None:
    async def begin() -> None:
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        pieces.put_nowait(b"first")
        body = Body(pieces)
        assert await anext(aiter(body)) == b"first"
        with pytest.raises(aiohttp.ClientError, match="cannot be sent again"):
            aiter(body)

    asyncio.run(begin())


def test_a_gateway_that_breaks_off_is_not_sent_the_rest_as_if_it_were_the_whole() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if len(asked) == 1:
            await reader.readuntil(b"piece")
            writer.transport.abort()
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    async def send() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connections, door = Connections(), Fixed(Upstream(f"http://127.0.0.1:{port}", "token"))
            exchange = Exchange(connections, door, "PUT", "/files/lab/f", [], has_body=True)
            while await exchange.take(b"piece"):
                await asyncio.sleep(0.01)
            with pytest.raises(Refusal, match="the connection broke"):
                await exchange.answer()
            await connections.close()

    asyncio.run(send())
    assert len(asked) == 1
