"""The rates of attempts that have ended, in the records; and of all of them, what to expect of the next one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from sqlalchemy import Connection, delete, insert, select

from ..db import points
from ..db.database import Database, DatabaseUnavailable
from ..db.schema import attempt
from .expected import ExpectedRates, Kind, Measured
from .progress import LiveProgress
from .rates import Track
from .scheduler import Lane
from .tasks import Task

log = logging.getLogger(__name__)
LEAST: Final = 32 * MiB  # bytes of a file of which they are kept: smaller ones are over before there is much to see
LEAST_BATCH: Final = MiB  # bytes of a batch of small files that tell something of what to expect
KEPT: Final = 100  # attempts of one transfer, the newest
REMEMBERED: Final = 1000  # rates that are read again at the start


class Rates:
    """Follows attempts, and keeps what they were like."""

    def __init__(self, database: Database, progress: LiveProgress, expected: ExpectedRates) -> None:
        self._database, self._progress, self._expected = database, progress, expected

    def refill(self) -> None:
        """What was measured before this gateway was started is known again."""
        newest = select(attempt).where(attempt.c.rate.is_not(None)).order_by(attempt.c.seq.desc()).limit(REMEMBERED)
        with self._database.read() as connection:
            rows = connection.execute(newest).all()
        self._expected.add(
            *(Measured(row.source, row.destination, Kind(row.kind), row.rate, row.ended) for row in reversed(rows))
        )

    @contextmanager
    def followed(self, task: Task) -> Iterator[Track]:
        """While an attempt at a large file lasts; who moves it says whether it is ``done``. After an error that is not
        the file's nothing is kept."""
        held, lane = task.held, task.lane
        track = Track(held.transfer, held.seq, held.epoch, lane.source, lane.destination, time.monotonic())
        self._progress.follow(track)
        try:
            yield track
            self._keep(track, held.size or 0)
        finally:
            self._progress.leave(track)

    def small(self, lane: Lane, size: int, seconds: float) -> None:
        """A batch of small files took so long."""
        if size >= LEAST_BATCH:
            self._add(lane.source, lane.destination, Kind.SMALL, size / max(seconds, 0.001))

    def _keep(self, track: Track, size: int) -> None:
        if track.rate is None:
            return
        if track.done:
            self._add(track.source, track.destination, track.kind, track.rate)
        if size >= LEAST:
            try:
                self._database.write(lambda connection: _write(connection, track, self._database.now(connection)))
            except DatabaseUnavailable as error:  # the file itself is recorded: only its plot is lost
                log.warning("file %s: how fast it was is not kept: %s", track.file, error)

    def _add(self, source: str, destination: str, kind: Kind, rate: float) -> None:
        self._expected.add(Measured(source, destination, kind, rate, time.time()))


def kept(connection: Connection, transfer: int) -> Sequence[Any]:
    """The rows of a transfer's attempts, in the order in which they ended."""
    return connection.execute(select(attempt).where(attempt.c.transfer == transfer).order_by(attempt.c.seq)).all()


def _write(connection: Connection, track: Track, now: float) -> None:
    values = {
        "transfer": track.transfer, "file": track.file, "number": track.number, "source": track.source,
        "destination": track.destination, "began": now - (time.monotonic() - track.start), "ended": now,
        "kind": track.kind.value, "rate": track.rate if track.done else None, "points": json.dumps(track.points()),
    }  # fmt: skip
    connection.execute(insert(attempt).values(values))
    its = attempt.c.transfer == track.transfer
    oldest = select(attempt.c.seq).where(its).order_by(attempt.c.seq.desc()).offset(KEPT - 1).limit(1)
    connection.execute(delete(attempt).where(its, attempt.c.seq < oldest.scalar_subquery()))
    points.written(connection, "attempt.recorded")
