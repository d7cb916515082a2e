"""Waiting in the event loop for what another thread ends, without a thread that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Commits:
    """Waits for commits. Many end in one moment, since they share it: the loop is woken once for all of them, which
    asyncio's own way (``wrap_future``) does for each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended: deque[asyncio.Future[None]] = deque()
        self._woken = False

    async def result(self, future: Future[T]) -> T:
        """What the future brings, or raises."""
        waiter = self._loop.create_future()
        future.add_done_callback(partial(self._end, waiter))
        await waiter
        try:
            return future.result()
        finally:  # an error holds this frame, which would hold the error, and all who met it with it
            del future

    def _end(self, waiter: asyncio.Future[None], _: Future[T]) -> None:
        """In the thread that has ended it."""
        self._ended.append(waiter)
        if not self._woken and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._woken = False  # before the look: what ends from now on wakes the loop again
        while self._ended:
            waiter = self._ended.popleft()
            if not waiter.done():
                waiter.set_result(None)
