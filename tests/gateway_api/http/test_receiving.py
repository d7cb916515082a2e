"""Bodies that are handed on while they come: in order, one piece at a time, however slow who takes them is."""

from __future__ import annotations

import asyncio
import time

from scigate.gateway_api.http.receiving import GATHERED, BodyHandler


class SlowTaker(BodyHandler):
    """Takes a body without a connection; it notes what it takes, and whether it was asked while it was at it."""

    def __init__(self) -> None:
        self._watch, self._finished = object(), False  # type: ignore[assignment]  # as after expect_body
        self._buffers, self._gathered, self._seen = [], 0, time.monotonic()
        self.taken, self.at_once, self.most = list[bytes](), 0, 0

    async def take(self, buffers: list[bytes]) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.05)
        self.taken += buffers
        self.at_once -= 1


def test_no_piece_is_handed_on_while_another_is_taken() -> None:
    async def run() -> SlowTaker:
        handler = SlowTaker()
        ticking = asyncio.ensure_future(_tick(handler))
        for number in range(24):  # about half a piece each
            await handler.data_received(bytes([number]) * (GATHERED // 2 + 1))
        await handler.all_taken()
        ticking.cancel()
        return handler

    handler = asyncio.run(run())
    assert handler.most == 1
    assert [buffer[0] for buffer in handler.taken] == list(range(24))


async def _tick(handler: SlowTaker) -> None:
    """What the clock does, only faster."""
    while True:
        handler._look()
        await asyncio.sleep(0.005)
