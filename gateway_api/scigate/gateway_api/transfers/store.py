"""Transfers as people see and steer them: submit, look, ask. Durable when a method returns."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, func, literal, select
from sqlalchemy.exc import IntegrityError

from ..db import points
from ..db.bulk import BulkStatement
from ..db.database import Database, DatabaseUnavailable
from ..db.paging import cursor, newest, next_cursor
from ..db.schema import transfer
from ..events import journal
from ..events.cloudevents import event_of
from ..problems import not_found
from ..resources import Cause, Event, FileState, Page, Rates, Submitted, Transfer, TransferFile, TransferState
from ..uploads.arrivals import Hindrance
from ..uploads.hindrances import cause_told
from . import intake, views, wishes
from .counters import RUN
from .expected import ExpectedRates
from .manifest import Lines
from .manifests import Incoming, Manifests
from .rates import Points, Track
from .rates_kept import kept
from .submission import Submission
from .wishes import Wish

log = logging.getLogger(__name__)
NO_END: Final = 1 << 62  # above every number of a row
FIRST_OF = 100  # files of a transfer that are looked at for what holds it up


class Progress(Protocol):
    """What only the running engine knows."""

    def rate(self, transfer: int) -> float | None:
        """Bytes per second over the last seconds."""
        ...

    def moving(self, transfer: int) -> int:
        """Bytes moved beyond what is recorded."""
        ...

    def moving_file(self, file: int) -> int:
        """The same of one file."""
        ...

    def waits_long(self, file: int) -> bool:
        """Whether who moves this file has had nothing to move for a while."""
        ...

    def tracks(self, transfer: int) -> list[tuple[Track, Points]]:
        """The attempts that are under way, with what is known of their rates."""
        ...


class NoProgress:
    """Nothing runs here."""

    def rate(self, transfer: int) -> float | None:
        return None

    def moving(self, transfer: int) -> int:
        return 0

    def moving_file(self, file: int) -> int:
        return 0

    def waits_long(self, file: int) -> bool:
        return False

    def tracks(self, transfer: int) -> list[tuple[Track, Points]]:
        return []


@dataclass(frozen=True, slots=True)
class Accepted:
    """A transfer that is durable; ``replayed``: since before."""

    row: Any
    replayed: bool


class TransferStore:
    """All transfers. ``owner`` None means: those of everybody. What is foreign is answered like what is not there."""

    def __init__(
        self, database: Database, surl: Callable[[str, str], str | None], progress: Progress | None = None
    ) -> None:
        self._database, self._manifests = database, Manifests(database)
        self._surl = surl
        self.progress: Progress = progress or NoProgress()
        self.expected = ExpectedRates()
        self.on_new: Callable[[], None] = lambda: None
        self.on_queued: Callable[[], None] = lambda: None
        """The same for what is nothing but files in the queue."""
        self.hindrance: Callable[[str], Hindrance | None] = lambda upload: None

    def accepted(self, owner: str, key: str | None, fingerprint: str) -> str | None:
        """The transfer of this request if it was accepted before; see ``intake.replay``."""
        with self._database.read() as connection:
            return None if key is None else intake.replay(connection, owner, key, fingerprint)

    def submit(self, owner: str, submission: Submission, *, key: str | None, fingerprint: str) -> Submitted:
        """Accept a submission, or say what was accepted under this key before."""
        return self.shown(self.begin_submit(owner, submission, key=key, fingerprint=fingerprint).result())

    def begin_submit(
        self, owner: str, submission: Submission, *, key: str | None, fingerprint: str
    ) -> Future[Accepted]:
        """The same without waiting for the commit: what is ``shown`` comes when it is durable."""
        transfer_id = intake.new_id()
        tell = self.on_new if any(pair.source.is_folder for pair in submission.pairs) else self.on_queued

        def job(connection: Connection) -> Accepted:
            now = self._database.now(connection)
            if key is not None and (before := intake.replay(connection, owner, key, fingerprint)):
                # equal: our own commit, whose answer was lost
                return Accepted(_row(connection, before), replayed=before != transfer_id)
            if key is None and (ours := _row(connection, transfer_id)) is not None:
                return Accepted(ours, replayed=False)
            intake.store(connection, transfer_id, owner, submission, now)
            if key is not None:
                binding = {"owner": owner, "key": key, "fingerprint": fingerprint, "transfer": transfer_id}
                intake.remember(connection, {**binding, "created": now})
            points.written(connection, "transfer.submitted")
            return Accepted(_row(connection, transfer_id), replayed=False)

        return self._begin_twice(job, tell)

    def _begin_twice(self, job: Callable[[Connection], Accepted], tell: Callable[[], None]) -> Future[Accepted]:
        """If another gateway has accepted the same key in the same moment, its transfer is seen the second time."""
        accepted = Future[Accepted]()

        def begin(ended: Callable[[Future[Accepted]], None]) -> None:
            try:
                self._database.begin_write(job).add_done_callback(ended)
            except DatabaseUnavailable as error:
                accepted.set_exception(error)

        def ended(done: Future[Accepted], last: bool = False) -> None:
            error = done.exception()
            if error is None:
                tell()
                accepted.set_result(done.result())
            elif last or not isinstance(error, IntegrityError):
                accepted.set_exception(error)
            else:
                begin(partial(ended, last=True))

        begin(ended)
        return accepted

    def shown(self, accepted: Accepted) -> Submitted:
        """The answer to a submit: the transfer as it was when it was accepted."""
        return Submitted(transfer=self._view(accepted.row), replayed=accepted.replayed)

    def begin_manifest(self, owner: str, lines: Lines) -> Incoming:
        """See ``Manifests.begin``."""
        return self._manifests.begin(owner, lines)

    def get(self, transfer_id: str, owner: str | None) -> Transfer:
        """One transfer. Raises ``Problem`` 404."""
        with self._database.read() as connection:
            row = _own_row(connection, transfer_id, owner)
            held_up = () if row.finished or row.starts else _receiving(connection, row.seq)
        causes = [self._cause(its) if its.upload_id else None for its in held_up]
        waits = 0 < len(causes) < FIRST_OF and None not in causes
        return views.held_up(self._view(row), causes[0]) if waits else self._view(row)

    def list(self, owner: str | None, *, state: str | None, after: str | None, limit: int) -> Page[Transfer]:
        """Transfers, newest first; ``after`` is the cursor of the page before."""
        before = cursor(after)
        with self._database.read() as connection:
            if state is None:
                found, after = _newest(connection, owner, before, limit)
            else:
                query, wanted = views.transfers_query(owner), TransferState(state)
                in_state = partial(_is_in, wanted)
                found, after = newest(connection, query, transfer, before=before, limit=limit, wanted=in_state)
        return Page(items=[self._view(row) for row in found], next=after)

    def files(
        self, transfer_id: str, owner: str | None, *, state: FileState | None, after: str | None, limit: int
    ) -> Page[TransferFile]:
        """The files of a transfer, in the order in which they were found."""
        with self._database.read() as connection:
            seq = _own_row(connection, transfer_id, owner).seq
            rows = connection.execute(views.files_query(seq, state, cursor(after) or 0, limit + 1)).all()
        items = [self._file_view(row, transfer_id) for row in rows[:limit]]
        return Page(items=items, next=next_cursor(rows, limit))

    def events(self, transfer_id: str, owner: str | None, *, after: int, limit: int) -> Page[Event]:
        """The journal of a transfer, oldest first."""
        with self._database.read() as connection:
            seq = _own_row(connection, transfer_id, owner).seq
            rows = connection.execute(journal.of_transfer(seq, after, limit + 1)).all()
        items = [event_of(row) for row in rows[:limit]]
        return Page(items=items, next=next_cursor(rows, limit, "id"))

    def rates(self, transfer_id: str, owner: str | None) -> Rates:
        """How fast the attempts at a transfer's large files went, those under way among them."""
        with self._database.read() as connection:
            seq = _own_row(connection, transfer_id, owner).seq
        running = self.progress.tracks(seq)
        with self._database.read() as connection:  # afterwards: what has ended meanwhile is found here
            ended = kept(connection, seq)
            way = connection.execute(select(views.way_of(literal(seq)))).scalar()
            now = self._database.now(connection) - time.monotonic()
        found = {(row.file, row.number): views.attempt_view(row, transfer_id) for row in ended}
        for track, seen in running:
            view = views.track_view(track, seen, transfer_id, now + track.start)
            found.setdefault((track.file, track.number), view)
        attempts = sorted(found.values(), key=lambda one: one.began)
        return Rates(attempts=attempts, expected=self._expected(way))

    def ask(self, transfer_id: str, owner: str | None, wish: Wish) -> Transfer:
        """Pause, resume, cancel or retry. Raises ``Problem`` 404, or 409 if it does not fit."""

        def job(connection: Connection) -> None:
            wishes.ask(connection, _own_row(connection, transfer_id, owner), wish, self._database.now(connection))
            points.written(connection, f"transfer.{wish}")

        self._database.write(job)
        self.on_new()
        return self.get(transfer_id, owner)

    def pause_all(self) -> None:
        """Pause what is not finished. The database is an older copy: what was done since is not known in it, and doing
        it again could undo what people have done with their files meanwhile. Owners resume what they still want."""
        unfinished = select(transfer).where(transfer.c.finished.is_(None), transfer.c.wish == RUN)

        def job(connection: Connection) -> int:  # all at once: half of it, and a restart would not see that it is old
            rows = connection.execute(unfinished).all()
            for row in rows:
                wishes.ask(connection, row, Wish.PAUSE, self._database.now(connection))
            return len(rows)

        paused = self._database.write(job)
        log.error("the database was restored from a backup: %d transfers are paused until resumed", paused)

    def reads_alone(self) -> bool:
        """See ``Database.reads_alone``."""
        return self._database.reads_alone()

    def counts(self) -> dict[str, int]:
        """How many files are in each state."""
        names = ("queued", "active", "waiting", "paused", "done", "failed", "cancelled")
        sums = select(*(func.coalesce(func.sum(transfer.c[name]), 0).label(name) for name in names))
        with self._database.read() as connection:
            return {name: int(value) for name, value in connection.execute(sums).one()._mapping.items()}

    def _view(self, row: Any) -> Transfer:
        rate, moving = self.progress.rate(row.seq), self.progress.moving(row.seq)
        return views.transfer_view(row, rate, moving, self._expected(row.way))

    def _expected(self, way: str | None) -> float | None:
        """Bytes per second to expect on this way."""
        ends = views.ends_of(way)
        return None if ends is None else self.expected.between(*ends)

    def _file_view(self, row: Any, transfer_id: str) -> TransferFile:
        surl = self._surl(row.destination_storage, row.destination_path)
        view = views.file_view(row, transfer_id, surl, self.progress.moving_file(row.seq))
        return views.of_upload(view, self._cause(row)) if row.upload_id else view

    def _cause(self, row: Any) -> Cause | None:
        """Why the file of an upload does not get on now, if it does not."""
        waits, recorded = self.progress.waits_long(row.seq), views.cause_of(row.cause)
        return cause_told(row, recorded, self.hindrance(row.upload_id), waits=waits)


def _row(connection: Connection, transfer_id: str) -> Any:
    return next(iter(_BY_ID.rows(connection, wanted=transfer_id)), None)


def _receiving(connection: Connection, seq: int) -> Sequence[Any]:
    """The first files that have not ended, if they are uploads; one of them else."""
    one = _ANY_OPEN.rows(connection, of=seq)
    if not one or one[0].upload_id is None:
        return one
    return connection.execute(views.receiving_query(seq, FIRST_OF)).all()


def _own_row(connection: Connection, transfer_id: str, owner: str | None) -> Any:
    row = _row(connection, transfer_id)
    if row is None or (owner is not None and row.owner != owner):
        raise not_found("transfer", transfer_id)
    return row


def _newest(
    connection: Connection, owner: str | None, before: int | None, limit: int
) -> tuple[Sequence[Any], str | None]:
    """As ``newest`` without a condition: what is asked most often."""
    values: dict[str, Any] = {"before": NO_END if before is None else before, "most": limit + 1}
    rows = _ALL.rows(connection, **values) if owner is None else _OWN.rows(connection, of=owner, **values)
    return rows[:limit], next_cursor(rows, limit)


def _is_in(wanted: TransferState, row: Any) -> bool:
    return views.state_of(row) is wanted


_BY_ID: Final = BulkStatement(views.TRANSFERS.where(transfer.c.id == bindparam("wanted")))
_NEWEST: Final = (
    views.TRANSFERS.where(transfer.c.seq < bindparam("before")).order_by(transfer.c.seq.desc()).limit(bindparam("most"))
)
_ALL: Final = BulkStatement(_NEWEST)
_OWN: Final = BulkStatement(_NEWEST.where(transfer.c.owner == bindparam("of")))
_ANY_OPEN: Final = BulkStatement(views.any_open(bindparam("of")))
