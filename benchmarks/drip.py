"""A web server whose files never seem to end: each answer drips, so that who pulls one stays busy with it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final

SIZE: Final = 64 << 20  # bytes of every file
DRIP: Final = 2048  # bytes at a time
PAUSE: Final = 1.0  # seconds between two drips
_HEAD: Final = 'HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: "drip"\r\nAccept-Ranges: bytes\r\n{more}\r\n'


class Drip:
    """Listens from ``with`` to its end; ``url`` and any name are a file."""

    def __enter__(self) -> Drip:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="drip", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port: int = starting.result()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(head, writer)
        writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        first, length = _range(head)
        whole = length == SIZE
        more = "" if whole else f"Content-Range: bytes {first}-{first + length - 1}/{SIZE}\r\n"
        status = "200 OK" if whole else "206 Partial Content"
        writer.write(_HEAD.format(status=status, length=length, more=more).encode())
        await writer.drain()
        if head.startswith("HEAD"):
            return
        while length:
            writer.write(bytes(min(DRIP, length)))
            length -= min(DRIP, length)
            await writer.drain()
            await asyncio.sleep(PAUSE)


async def _end_all() -> None:
    """Whoever is still served has to go."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _range(head: str) -> tuple[int, int]:
    """First byte and length that are asked for (RFC 9110 §14.2)."""
    for line in head.split("\r\n"):
        if line.lower().startswith("range: bytes="):
            first, _, last = line[13:].partition("-")
            return int(first), (min(int(last), SIZE - 1) if last else SIZE - 1) - int(first) + 1
    return 0, SIZE
