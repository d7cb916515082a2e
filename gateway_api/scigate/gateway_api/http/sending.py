"""Sending a body of any size with back-pressure: whole, or visibly not whole."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from scigate.storage_backends.backend import Buffer, KiB, MiB
from scigate.storage_backends.errors import StorageError
from tornado.gen import with_timeout
from tornado.iostream import StreamClosedError

from .handler import Handler

log = logging.getLogger(__name__)
PIECE: Final = MiB
STALLED: Final = timedelta(seconds=60)
"""A client that does not take one write of ours in so long is gone; its storage connection is needed elsewhere."""


class Pace:
    """How much to write at a time: little to a slow client, so that slow is not taken for stalled."""

    LEAST: Final = 32 * KiB

    def __init__(self) -> None:
        self.size = self.LEAST

    def took(self, seconds: float) -> None:
        """Learn from the last write."""
        self.size = min(2 * self.size, PIECE) if seconds < 0.1 else max(self.LEAST, self.size // 2)


class SendingHandler(Handler):
    """A handler whose answer may be longer than memory."""

    async def send(self, buffers: Iterator[Buffer], piece: bytes) -> None:
        """Send ``piece`` and the rest of ``buffers``, which is closed at the end; the headers are set already.

        A failure on the way cuts the connection, so that neither the length nor the last chunk is reached. While the
        client is slow nothing is read: no thread waits, and what waits in memory is one piece.
        """
        is_closed = False
        try:
            pace = Pace()
            while piece:
                await self._write(piece, pace)
                piece = await self.next_piece(buffers)
            await self.run(close, buffers)  # before the end is told: whoever has it may ask for the next one at once
            is_closed = True
            self.finish()
        except (StreamClosedError, TimeoutError):
            log.info("download of %s: the client has gone", self.request.path)
        except StorageError as error:
            log.warning("download of %s broke off: %s", self.request.path, error.message)
        finally:
            if not self._finished:
                self._cut()
            if not is_closed:
                await self.run(close, buffers)

    async def first_piece(self, buffers: Iterator[Buffer]) -> bytes:
        """The beginning; an error before the first byte still becomes a problem, and ``buffers`` is closed then."""
        try:
            return await self.next_piece(buffers)
        except BaseException:
            await self.run(close, buffers)
            raise

    async def next_piece(self, buffers: Iterator[Buffer]) -> bytes:
        """About one ``PIECE``; nothing at the end."""
        return await self.run(_piece, buffers)

    async def _write(self, piece: bytes, pace: Pace) -> None:
        rest = memoryview(piece)
        while rest:
            began = time.monotonic()
            self.write(bytes(rest[: pace.size]))
            rest = rest[pace.size :]
            await with_timeout(STALLED, self.flush())
            pace.took(time.monotonic() - began)

    def _cut(self) -> None:
        self.request.connection.close()  # type: ignore[union-attr]
        self._finished = True
        self._log()
        self.on_finish()


def close(buffers: Iterator[Buffer]) -> None:
    """Let go of what is behind an iterator."""
    closing = getattr(buffers, "close", None)
    if closing is not None:
        closing()


def _piece(buffers: Iterator[Buffer]) -> bytes:
    """Small buffers are gathered, so that each thread switch carries enough."""
    gathered = bytearray()
    while len(gathered) < PIECE:
        buffer = next(buffers, None)
        if buffer is None:
            break
        gathered += buffer
    return bytes(gathered)
