"""One request at a time for each upload: whoever comes later ends the earlier one, as its sender has given it up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from ..problems import Problem

PATIENCE: Final = timedelta(seconds=30)
"""For an earlier request that is writing or making durable: so long a disk may take."""


class Preempted(Exception):
    """A newer request has taken this upload over: close the connection, and say nothing more."""


class Turn:
    """The right of one request to an upload, until it is ``over`` or a newer one has come."""

    def __init__(self, before: Turn | None) -> None:
        self._before = before
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._preempted = False
        self._stop: Callable[[], None] | None = None

    def attach(self, stop: Callable[[], None]) -> None:
        """``stop`` is what ends the request from another thread. Raises ``Preempted`` if that is wanted already."""
        with self._lock:
            if self._preempted:
                raise Preempted
            self._stop = stop

    def preempt(self) -> None:
        """End the request, soon."""
        with self._lock:
            self._preempted, stop = True, self._stop
        if stop is not None:
            stop()

    def begin(self, patience: timedelta) -> None:
        """End who came before and wait until they are over. ``Problem`` 423 if that takes too long, ``Preempted`` if
        a newer request has come meanwhile."""
        if self._before is not None:
            self._before.preempt()
            if not self._before.is_over(time.monotonic() + patience.total_seconds()):
                raise Problem(423, "upload-locked", "An earlier request for this upload is still being ended.",
                              next_step="Try again in some seconds.", retriable=True,
                              retry_after=timedelta(seconds=5))  # fmt: skip
            self._before = None
        with self._lock:
            if self._preempted:
                raise Preempted

    def end(self) -> None:
        """The request is over."""
        self._over.set()

    def is_over(self, deadline: float) -> bool:
        """Wait until it is over, and all before it; one that gave up waiting leaves those before it running."""
        turn: Turn | None = self
        while turn is not None:
            if not turn._over.wait(max(0.0, deadline - time.monotonic())):
                return False
            turn = turn._before
        return True


class Turns:
    """Who is at which upload. Thread-safe."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._turns: dict[str, Turn] = {}

    def take(self, upload: str) -> Turn:
        """The next turn at an upload; give it back with ``leave``."""
        with self._lock:
            turn = self._turns[upload] = Turn(self._turns.get(upload))
        try:
            turn.begin(self._patience)
        except BaseException:
            self.leave(upload, turn)
            raise
        return turn

    def leave(self, upload: str, turn: Turn) -> None:
        """The turn is over."""
        turn.end()
        with self._lock:
            latest = self._turns.get(upload)  # perhaps one that gave up waiting for us
            if latest is not None and latest.is_over(0.0):
                del self._turns[upload]

    @contextmanager
    def alone(self, upload: str) -> Iterator[None]:
        """Nobody else is at the upload inside."""
        turn = self.take(upload)
        try:
            yield
        finally:
            self.leave(upload, turn)

    def busy(self) -> set[str]:
        """The uploads that somebody is at."""
        with self._lock:
            return set(self._turns)

    def preempt_all(self) -> None:
        """End all requests, soon: the gateway stops."""
        with self._lock:
            turns = list(self._turns.values())
        for turn in turns:
            turn.preempt()
