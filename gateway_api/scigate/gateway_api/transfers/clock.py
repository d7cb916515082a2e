"""Somebody sets the clock of this machine: times that were promised as durations move with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, update

from ..db.schema import file, upload, walk

NOTICED: Final = 5.0  # seconds: less is the slewing of NTP, or a busy machine


class Steps:
    """Notices steps of the wall clock by the monotonic one. (After a sleep of the machine the latter is behind: who
    was waited for could not come meanwhile either.)"""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = self._apart()

    def look(self) -> float:
        """By how many seconds the clock was set since the last look; 0.0 if it was not."""
        now = self._apart()
        step = now - self._offset
        if abs(step) < NOTICED:
            return 0.0
        self._offset = now
        return step

    def _apart(self) -> float:
        """The difference of the two clocks, read again if this process was held up between them."""
        while True:
            before, wall = self._monotonic(), self._wall()
            if self._monotonic() - before < NOTICED / 2:
                return wall - before


def shift(connection: Connection, seconds: float) -> None:
    """Move what is waited for: the next tries of files and listings, and when uploads expire. Deadlines stay: they are
    points in time that people have named."""
    for column in (file.c.next_try, walk.c.next_try, upload.c.expires):
        moved = update(column.table).where(column.is_not(None), column > 0).values({column.name: column + seconds})
        connection.execute(moved)
