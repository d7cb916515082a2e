"""``GET`` and ``HEAD`` of files and folders: listings as JSON, files as a stream with back-pressure."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from scigate.storage_backends.backend import Buffer, Entry, MiB
from scigate.storage_backends.digests import ALGORITHMS
from scigate.storage_backends.errors import StorageError
from tornado.gen import with_timeout
from tornado.iostream import StreamClosedError

from ..gateway import Download
from ..problems import Problem
from ..uploads.digests import representation
from .conditions import Selection, etag, last_modified, select
from .endpoints import FileQuery, list_folder, look_at
from .handler import Handler
from .route import Call

log = logging.getLogger(__name__)
PIECE: Final = MiB
STALLED: Final = timedelta(seconds=60)
"""A client that takes no byte for so long is gone; its storage connection is needed elsewhere."""


class FileHandler(Handler):
    """A file as bytes; a folder, or anything with ``?meta=1``, as JSON."""

    query: FileQuery

    async def get(self) -> None:
        self.raise_refusal()
        path = self.params["path"]
        if self.query.meta or path == "" or path.endswith("/"):
            return await self._describe(look_at if self.query.meta else list_folder)
        return await self._download(
            await self.run(self.site.gateway.download, self.actor, self.params["storage"], path)
        )

    head = get

    async def _describe(self, endpoint: object) -> None:
        call = Call(self.actor, self.params, self.query, None, None, self.site.url)
        self.write_answer(await self.run(endpoint, self.site.gateway, call))  # type: ignore[arg-type]

    async def _download(self, file: Download) -> None:
        selection = select(self.request.headers, file.entry)
        if selection.status in (412, 416):
            raise self._refusal(selection, file.entry)
        buffers: Iterator[Buffer] = iter(())
        first = b""
        if selection.length and self.request.method == "GET":
            buffers = await self.run(file.read, selection.offset, selection.length)
            first = await self._next(buffers)  # an error before the first byte still becomes a problem
        self._describe_file(selection, file.entry)
        await self._send(buffers, first)

    async def _send(self, buffers: Iterator[Buffer], piece: bytes) -> None:
        """All or visibly not all: a failure on the way cuts the connection, so the length is not reached."""
        try:
            while piece:
                self.write(piece)
                await with_timeout(STALLED, self.flush())
                piece = await self._next(buffers)
            self.finish()
        except (StreamClosedError, TimeoutError):
            log.info("download of %s: the client has gone", self.request.path)
        except StorageError as error:
            log.warning("download of %s broke off: %s", self.request.path, error.message)
        finally:
            if not self._finished:
                self._cut()
            await self.run(_close, buffers)

    def _cut(self) -> None:
        self.request.connection.close()  # type: ignore[union-attr]
        self._finished = True
        self._log()
        self.on_finish()

    async def _next(self, buffers: Iterator[Buffer]) -> bytes:
        return await self.run(_piece, buffers)

    def _describe_file(self, selection: Selection, entry: Entry) -> None:
        self.set_status(selection.status)
        for name, value in (("ETag", etag(entry)), ("Last-Modified", last_modified(entry))):
            if value is not None:
                self.set_header(name, value)
        if selection.status == 304:
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Content-Length", str(selection.length))
        self.set_header("Content-Disposition", disposition(entry.path))
        if selection.status == 206:
            last = selection.offset + selection.length - 1
            self.set_header("Content-Range", f"bytes {selection.offset}-{last}/{entry.size}")
        if known := {name: value for name, value in entry.digests.items() if name in ALGORITHMS}:
            self.set_header("Repr-Digest", representation(known))

    def _refusal(self, selection: Selection, entry: Entry) -> Problem:
        if selection.status == 412:
            return Problem(412, "precondition-failed", "The file is not the version that was asked for.",
                           next_step="Look at it again and decide anew.")  # fmt: skip
        self.error_headers["Content-Range"] = f"bytes */{entry.size}"
        return Problem(416, "range-not-satisfiable", f"The file has only {entry.size} bytes.",
                       next_step="Ask for a range within the file.")  # fmt: skip


def disposition(path: str) -> str:
    """A ``Content-Disposition`` that no file name can break out of (RFC 6266, RFC 8187)."""
    name = path.rsplit("/", 1)[-1]
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(readable, safe='')}"


def _piece(buffers: Iterator[Buffer]) -> bytes:
    """About one ``PIECE``: small buffers are gathered, so that each thread switch carries enough."""
    gathered = bytearray()
    while len(gathered) < PIECE:
        buffer = next(buffers, None)
        if buffer is None:
            break
        gathered += buffer
    return bytes(gathered)


def _close(buffers: Iterator[Buffer]) -> None:
    close = getattr(buffers, "close", None)
    if close is not None:
        close()
