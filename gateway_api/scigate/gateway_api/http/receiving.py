"""Bodies that are handed on while they come."""

from __future__ import annotations

import array
import asyncio
import fcntl
import termios
import time
from datetime import timedelta
from typing import Final

from scigate.storage_backends.backend import MiB
from tornado.ioloop import PeriodicCallback

from .handler import Handler

GATHERED: Final = 4 * MiB
STALLED: Final = timedelta(seconds=60)
TICK: Final = timedelta(seconds=0.5)
"""What came waits for more at most this long: a slow sender's bytes are not lost with the connection."""
BODY_MAX: Final = 1 << 62
"""For tornado; the real limit is the staging quota."""


class BodyHandler(Handler):
    """Hands a body to ``take`` in pieces of a few MiB, the next one gathered meanwhile, never two at once.

    Back-pressure reaches the client through TCP. A body of which nothing comes for ``STALLED`` is cut off.
    """

    _watch: PeriodicCallback | None = None
    _taking: asyncio.Task[None] | None = None

    @property
    def size(self) -> int | None:
        """Of the body in bytes; None if it comes in chunks."""
        return None if "Transfer-Encoding" in self.request.headers else self._content_length()

    def expect_body(self) -> None:
        """To be called in ``prepare`` by who takes the body; else it is dropped."""
        self._buffers: list[bytes] = []
        self._gathered, self._seen = 0, time.monotonic()
        self._watch = PeriodicCallback(self._look, TICK)
        self._watch.start()
        self.request.connection.set_max_body_size(BODY_MAX)  # type: ignore[union-attr]
        self.request.connection.set_body_timeout(None)  # type: ignore[union-attr]  # ``_look`` does it

    async def take(self, buffers: list[bytes]) -> None:
        """Do something with a piece. What goes wrong it answers itself."""
        raise NotImplementedError

    async def data_received(self, chunk: bytes) -> None:
        if self._watch is None or self._finished:
            return
        self._buffers.append(chunk)
        self._gathered += len(chunk)
        self._seen = time.monotonic()
        if self._gathered >= GATHERED:
            await self._settle()
            self._hand_on()

    async def all_taken(self) -> None:
        """Return when the last piece has been taken."""
        await self._settle()
        self._hand_on()
        await self._settle()

    def let_go(self) -> None:
        """The request has ended, however it did: give up what it still holds. May be called twice."""

    def refuse_rest(self, error: Exception) -> None:
        """Answer with the error now: the rest of the body need not come."""
        if not self._finished:
            self.error_headers["Connection"] = "close"
            self.send_error(exc_info=(type(error), error, None))

    def on_finish(self) -> None:
        self._stop_watching()
        self.let_go()
        super().on_finish()

    def on_connection_close(self) -> None:
        self._stop_watching()
        self.let_go()
        super().on_connection_close()

    def unread(self) -> int:
        """Bytes that have come to this machine and were not read yet (SIOCINQ, tcp(7))."""
        socket = self.request.connection.stream.socket  # type: ignore[union-attr]
        if socket is None:
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(socket.fileno(), termios.FIONREAD, count)
        return count[0]

    def close_connection(self) -> None:
        """Cut it off, without an answer."""
        self.request.connection.close()  # type: ignore[union-attr]

    def gathered(self) -> list[bytes]:
        """What came and was not handed on yet; from now on it is the caller's."""
        if self._watch is None:
            return []
        buffers, self._buffers, self._gathered = self._buffers, [], 0
        return buffers

    def _hand_on(self) -> None:
        if not self._finished and (buffers := self.gathered()):
            self._taking = asyncio.ensure_future(self.take(buffers))

    async def _settle(self) -> None:
        while (taking := self._taking) is not None:
            await taking  # it stays in its place, so that ``_look`` hands on nothing beside it
            if self._taking is taking:
                self._taking = None

    def _look(self) -> None:
        if self._taking is not None and not self._taking.done():
            self._seen = time.monotonic()  # it is we who keep the sender waiting
        elif self._gathered:
            self._hand_on()
        elif time.monotonic() - self._seen > STALLED.total_seconds():
            self.close_connection()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()
