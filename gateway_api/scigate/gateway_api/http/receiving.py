"""Bodies that are handed on while they come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from scigate.storage_backends.backend import MiB
from tornado.ioloop import PeriodicCallback

from .handler import Handler

GATHERED: Final = 4 * MiB
STALLED: Final = timedelta(seconds=60)
CHECKSUM_MISMATCH: Final = "Checksum Mismatch"
"""The phrase of 460, which tus 1.0 has added to HTTP."""
BODY_MAX: Final = 1 << 62
"""For tornado; the real limits are those of uploads."""


class BodyHandler(Handler):
    """Hands a body to ``take`` in pieces of a few MiB, the next one gathered meanwhile, never two at once.

    Back-pressure reaches the client through TCP. A body of which nothing comes for ``STALLED`` is cut off.
    """

    _watch: PeriodicCallback | None = None
    _taking: asyncio.Task[None] | None = None

    def expect_body(self) -> None:
        """To be called in ``prepare`` by who takes the body; else it is dropped."""
        self._buffers: list[bytes] = []
        self._gathered, self._seen = 0, True
        self._watch = PeriodicCallback(self._check_progress, STALLED)
        self._watch.start()
        self.request.connection.set_max_body_size(BODY_MAX)  # type: ignore[union-attr]

    async def take(self, buffers: list[bytes]) -> None:
        """Do something with a piece. What it raises is lost: it answers itself."""
        raise NotImplementedError

    async def data_received(self, chunk: bytes) -> None:
        if self._watch is None or self._finished:
            return
        self._buffers.append(chunk)
        self._gathered += len(chunk)
        self._seen = True
        if self._gathered >= GATHERED:
            await self._hand_on()

    async def all_taken(self) -> None:
        """Return when the last piece has been taken."""
        if self._watch is not None:
            await self._hand_on()
            await self._settle()

    def on_finish(self) -> None:
        self._stop_watching()
        super().on_finish()

    def on_connection_close(self) -> None:
        self._stop_watching()
        super().on_connection_close()

    def close_connection(self) -> None:
        """Cut it off, without an answer."""
        self.request.connection.close()  # type: ignore[union-attr]

    async def _hand_on(self) -> None:
        await self._settle()
        buffers, self._buffers, self._gathered = self._buffers, [], 0
        if buffers and not self._finished:
            self._taking = asyncio.ensure_future(self.take(buffers))

    async def _settle(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None:
            await taking

    def _check_progress(self) -> None:
        if not self._seen and (self._taking is None or self._taking.done()):
            self.close_connection()
        self._seen = False

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()
