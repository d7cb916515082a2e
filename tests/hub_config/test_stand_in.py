"""Who connects and says nothing keeps nobody from an answer."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import pytest
from scigate.hub_config import service
from scigate.hub_config.service import StandIn

PREFIX = "/services/scigate/"
ASK = f"GET {PREFIX} HTTP/1.1\r\n\r\n".encode()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX: ", ASK + b"x"])
def test_idle_connections_give_way(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub ends itself when its question is not answered, and that may come at any time."""
    monkeypatch.setattr(service, "PATIENCE", 600.0)  # nobody goes, and nobody is sent away, as their time is over

    async def ask() -> list[bytes]:
        with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=service.QUEUE) as listener:
            stand_in, address = StandIn(PREFIX), listener.getsockname()
            await stand_in.open(listener)
            for _ in range(service.MOST + 50):
                idle = stack.enter_context(socket.create_connection(address))
                idle.sendall(said)
                await asyncio.sleep(0)
            answers = []
            for _ in range(3):
                async with asyncio.timeout(120):
                    reader, writer = await asyncio.open_connection(*address)
                    writer.write(ASK)
                    answers.append(await reader.readline())
                    writer.close()
            stand_in.close()
            return answers

    assert asyncio.run(ask()) == [b"HTTP/1.1 200 OK\r\n"] * 3
