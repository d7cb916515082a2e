"""``PUT`` of a file in one piece: to the gateway's disk first, then onwards as a transfer."""

from __future__ import annotations

from functools import partial

from scigate.storage_backends.errors import StorageError

from ..problems import Problem
from ..uploads.digests import promised
from ..uploads.metadata import check_coding
from ..uploads.put import PutUpload
from .body import malformed
from .endpoints import UploadQuery, submitted
from .handler import idempotency_key
from .receiving import BodyHandler


class UploadHandler(BodyHandler):
    """Takes the body while it comes; of one that breaks off nothing is kept."""

    query: UploadQuery
    upload: PutUpload | None = None

    async def prepare_body(self) -> None:
        if self.request.headers.get("Content-Range") is not None:
            raise malformed("A PUT of a part of a file (Content-Range) is not supported.")
        check_coding(self.request.headers)
        if self.request.version == "HTTP/1.0" and "Content-Length" not in self.request.headers:
            raise _endless()
        self._key = idempotency_key(self.request.headers.get("Idempotency-Key"))
        digests = promised(self.request.headers.get("Repr-Digest"))
        arguments = (self.actor, self.params["storage"], self.params["path"])
        begin = partial(self.site.gateway.uploads.begin_put, modified=self.query.modified)
        self.upload = await self.run(begin, *arguments, self.size, digests)
        self.expect_body()

    async def take(self, buffers: list[bytes]) -> None:
        if self.upload is None:
            return
        try:
            await self.run(self.upload.write, buffers)
        except StorageError as error:
            self.refuse_rest(error)

    async def put(self) -> None:
        self.raise_refusal()
        await self.all_taken()
        if self.upload is None or self._finished:
            return
        upload, self.upload = self.upload, None  # the gateway ends it from here on, whether we are cut off or not
        query, finish_upload = self.query, self.site.gateway.uploads.finish_put
        times = (query.not_before, query.deadline)
        finish = partial(finish_upload, overwrite=query.overwrite, label=query.label, key=self._key, times=times)
        answer = await self.run(finish, self.actor, upload, self.params["storage"], self.params["path"])
        self.write_answer(submitted(answer, self.site.url))

    def let_go(self) -> None:
        if self.upload is not None:
            self.site.storage_pool.submit(self.upload.close)
            self.upload = None


def _endless() -> Problem:
    return Problem(411, "length-required", "A PUT over HTTP/1.0 has to say how long its body is.",
                   next_step="Send Content-Length, or use a client or proxy that speaks HTTP/1.1.")  # fmt: skip
