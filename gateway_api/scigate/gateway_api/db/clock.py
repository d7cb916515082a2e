"""Somebody sets the clock of this machine: a database without a clock of its own goes on by a steady one, until the
times that are stored as "so long from then" have been moved along."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select, update

from .schema import draft, file, manifest, ticket, transfer, upload, walk, webhook, worker

NOTICED: Final = 5.0  # seconds: less is the slewing of NTP, or a busy machine
_MOVED: Final = (
    file.c.next_try, walk.c.next_try, webhook.c.next_try, webhook.c.failing_since, webhook.c.lease_until,
    worker.c.lease_until, upload.c.expires, ticket.c.expires, draft.c.created, manifest.c.created,
)  # fmt: skip


class Clock:
    """The time, which makes no step that ``follow`` was not told of: so all that is written in one transaction, and
    all that is written before a step is followed, is by the same clock.

    (After a sleep of the machine the monotonic clock is behind: who was waited for could not come meanwhile either.)
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = self._apart()

    def now(self) -> float:
        """In seconds since 1970."""
        return self._monotonic() + self._offset

    def step(self) -> float:
        """By how many seconds the clock was set and ``now`` does not follow yet; 0.0 if it was not. What is too little
        for a step is followed at once."""
        apart = self._apart()
        step = apart - self._offset
        if abs(step) >= NOTICED:
            return step
        self._offset = apart
        return 0.0

    def follow(self, step: float) -> None:
        """What is stored has been moved by this."""
        self._offset += step

    def _apart(self) -> float:
        """The difference of the two clocks, read again if this process was held up between them."""
        while True:
            before, wall = self._monotonic(), self._wall()
            if self._monotonic() - before < NOTICED / 2:
                return wall - before


def shift(connection: Connection, seconds: float) -> None:
    """Move what is waited for: the next tries of files, listings and webhooks, leases, when uploads expire, and since
    when drafts and manifests are there. Deadlines stay, and so does what waits for the time of its transfer: they are
    points in time that people have named."""
    named = select(transfer.c.seq).where(transfer.c.starts.is_not(None))
    for column in _MOVED:
        moved = update(column.table).where(column.is_not(None), column > 0).values({column.name: column + seconds})
        if column.table in (file, walk):
            moved = moved.where(column.table.c.transfer.not_in(named))
        connection.execute(moved)
