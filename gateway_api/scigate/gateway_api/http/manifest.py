"""``POST`` of a transfer of very many files: a line of JSON for each, read and checked while they come."""

from __future__ import annotations

from typing import Final

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import StorageError

from ..db.database import DatabaseUnavailable
from ..problems import Problem
from ..resources import TransferRequest
from ..transfers.manifests import Incoming
from .endpoints import ManifestQuery, submitted
from .handler import idempotency_key, too_large
from .receiving import BodyHandler

KIND: Final = "application/x-ndjson"
LARGEST: Final = 1024 * MiB


class ManifestHandler(BodyHandler):
    """Keeps what comes piece by piece; of a manifest that breaks off or is wrong nothing is kept."""

    query: ManifestQuery
    lines: Incoming | None = None

    async def prepare_body(self) -> None:
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != KIND:
            raise Problem(415, "unsupported-media-type", "The body has to be lines of JSON.",
                          next_step=f"Send it with 'Content-Type: {KIND}', one file a line.")  # fmt: skip
        if (self.size or 0) > LARGEST:
            raise too_large(LARGEST)
        self._key, self._taken = idempotency_key(self.request.headers.get("Idempotency-Key")), 0
        self.lines = await self.run(self.site.gateway.begin_manifest, self.actor)
        self.expect_body()

    async def take(self, buffers: list[bytes]) -> None:
        if (lines := self.lines) is None or self._finished:
            return
        self._taken += sum(map(len, buffers))
        try:
            if self._taken > LARGEST:
                raise too_large(LARGEST)
            for buffer in buffers:
                await self.run(lines.take, buffer)
        except (Problem, StorageError, DatabaseUnavailable) as error:
            self.refuse_rest(error)

    async def post(self) -> None:
        self.raise_refusal()
        await self.all_taken()
        if (lines := self.lines) is None or self._finished:
            return
        wishes = TransferRequest.model_construct(files=[], **self.query.model_dump())
        self.lines = None  # from here on it may be accepted, and a connection that closes takes nothing away from it
        try:
            answer = await self.run(self.site.gateway.submit_manifest, self.actor, lines, wishes, self._key)
        except Problem:
            self.site.pool.submit(lines.discard)
            raise
        self.write_answer(submitted(answer, self.site.url))

    def let_go(self) -> None:
        if self.lines is not None:
            self.site.pool.submit(self.lines.discard)
            self.lines = None
