"""``PUT`` of a file in one piece: to the gateway's disk first, then onwards as a transfer."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import StorageError
from tornado.ioloop import PeriodicCallback

from ..uploads.digests import promised
from ..uploads.put import PutUpload
from .body import malformed
from .endpoints import UploadQuery, submitted
from .handler import Handler, idempotency_key

GATHERED: Final = 4 * MiB
STALLED: Final = timedelta(seconds=60)
BODY_MAX: Final = 1 << 62
"""For tornado; the real limit is the staging quota."""


class UploadHandler(Handler):
    """Takes the body while it comes; back-pressure reaches the client through TCP."""

    query: UploadQuery
    upload: PutUpload | None = None
    _watch: PeriodicCallback | None = None

    async def prepare_body(self) -> None:
        length = self.request.headers.get("Content-Length")
        if length is None and "Transfer-Encoding" not in self.request.headers:
            length = "0"
        if self.request.headers.get("Content-Range") is not None:
            raise malformed("A PUT of a part of a file (Content-Range) is not supported.")
        self._key = idempotency_key(self.request.headers.get("Idempotency-Key"))
        digests = promised(self.request.headers.get("Repr-Digest"))
        arguments = (self.actor, self.params["storage"], self.params["path"])
        size = None if length is None else self._content_length()
        begin = partial(self.site.gateway.uploads.begin_put, modified=self.query.modified)
        self.upload = await self.run(begin, *arguments, size, digests)
        self._buffers: list[bytes] = []
        self._gathered, self._seen = 0, True
        self._watch = PeriodicCallback(self._check_progress, STALLED)
        self._watch.start()
        self.request.connection.set_max_body_size(BODY_MAX)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        if self.upload is None or self._finished:
            return
        self._buffers.append(chunk)
        self._gathered += len(chunk)
        self._seen = True
        if self._gathered >= GATHERED:
            await self._write()

    async def put(self) -> None:
        self.raise_refusal()
        await self._write()
        if self.upload is None or self._finished:
            return
        upload, self.upload = self.upload, None  # the gateway ends it from here on, whether we are cut off or not
        query, finish_upload = self.query, self.site.gateway.uploads.finish_put
        finish = partial(finish_upload, overwrite=query.overwrite, label=query.label, key=self._key)
        answer = await self.run(finish, self.actor, upload, self.params["storage"], self.params["path"])
        self.write_answer(submitted(answer, self.site.url))

    def on_finish(self) -> None:
        self._end()
        super().on_finish()

    def on_connection_close(self) -> None:
        self._end()
        super().on_connection_close()

    async def _write(self) -> None:
        buffers, self._buffers, self._gathered = self._buffers, [], 0
        if self.upload is None:
            return
        try:
            await self.run(self.upload.write, buffers)
        except StorageError as error:  # the rest of the body need not come
            if not self._finished:
                self.error_headers["Connection"] = "close"
                self.send_error(exc_info=(type(error), error, None))

    def _check_progress(self) -> None:
        if not self._seen and self.upload is not None:
            self.request.connection.close()  # type: ignore[union-attr]
        self._seen = False

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self.upload is not None:
            self.site.storage_pool.submit(self.upload.close)
            self.upload = None
