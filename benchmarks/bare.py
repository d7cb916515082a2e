"""The least that a server can do with an upload: tornado takes the body and writes it to a file. A process of its own.

Bytes are gathered to 4 MiB and written by a thread while the next ones come; the file is synced before the answer.
Nobody is asked who they are, nothing is recorded, no digest is taken, a broken upload is lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

GATHERED: Final = 4 * MiB
LARGEST: Final = 1 << 40


@stream_request_body
class Bare(RequestHandler):
    """``PUT /name``."""

    def initialize(self, folder: Path) -> None:
        self._folder = folder
        self._buffers: list[bytes] = []
        self._gathered = 0
        self._writing: asyncio.Future[None] | None = None

    def prepare(self) -> None:
        self._file = os.open(self._folder / Path(self.request.path).name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    async def data_received(self, chunk: bytes) -> None:
        self._buffers.append(chunk)
        self._gathered += len(chunk)
        if self._gathered >= GATHERED:
            await self._write()

    async def put(self) -> None:
        await self._write()
        await self._written()
        await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._file)
        self.set_status(204)

    def on_finish(self) -> None:
        os.close(self._file)

    async def _write(self) -> None:
        await self._written()
        buffers, self._buffers, self._gathered = self._buffers, [], 0
        if buffers:
            self._writing = asyncio.get_running_loop().run_in_executor(None, _write_all, self._file, buffers)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing


def _write_all(file: int, buffers: list[bytes]) -> None:
    left = [memoryview(buffer) for buffer in buffers]
    while left:
        count = os.writev(file, left)
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:
            left[0] = left[0][count:]


async def _serve(folder: Path) -> None:
    application = Application([("/.*", Bare, {"folder": folder})], log_function=lambda _: None)
    options: dict[str, Any] = {"chunk_size": MiB, "max_body_size": LARGEST, "max_buffer_size": 100 * MiB}
    server = HTTPServer(application, **options)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(json.dumps({"port": sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
