"""The records of uploads: the SQL of the client's leg. Durable when a method returns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from scigate.storage_backends.errors import ErrorKind, NotFound
from sqlalchemy import Connection, and_, bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..db import points
from ..db.bulk import BulkStatement
from ..db.database import Database
from ..db.paging import newest
from ..db.schema import file, upload
from ..problems import conflict, not_found
from ..resources import Cause, FileState, UploadState
from ..transfers import intake, receiving
from ..transfers.ledger import Move, read_held, write_lines, write_moves_that_still_fit
from ..transfers.machine import ARROWS, Failure, What
from . import rows
from .accepting import Accepted, Sender, Terms, Wanted, accept, journal_line
from .model import Kind
from .staged import StagedPart, StagedUpload

PORTION: Final = 500  # uploads that are expired or ended in one commit

KEPT_AFTER_FAILURE: Final = timedelta(days=7)
"""So long an upload whose file has failed stays, for its owner to try it again."""

CHANCE: Final = timedelta(hours=1)
"""So long senders have to come back after we were away."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is durable of an upload now: the first ``offset`` bytes, their CRC-64/NVME, whether these are all.
    ``cut``: the connection broke there."""

    offset: int
    crc64nvme: str
    complete: bool = False
    cut: bool = False


class UploadStore:
    """The uploads of one gateway, ``gateway`` being the name of its staging storage. ``owner`` None means: of
    everybody. What is foreign is answered like what is not there."""

    def __init__(self, database: Database, gateway: str, terms: Terms) -> None:
        self._database, self.gateway, self.terms = database, gateway, terms
        self.on_new: Callable[[], None] = lambda: None
        self.on_received: Callable[[], None] = lambda: None  # comes in crowds

    def create(self, owner: str, wanted: Wanted) -> Accepted:
        """Store new uploads and their transfer; see ``accepting.accept``."""

        def job(connection: Connection) -> Accepted:
            sender = Sender(owner, self.gateway, self.terms, self._database.now(connection))
            accepted = accept(connection, sender, wanted)
            points.written(connection, "upload.created")
            return accepted

        try:
            answer = self._database.write(job)
        except IntegrityError:  # another gateway has accepted the same key in the same moment: now it is seen
            answer = self._database.write(job)
        self.on_new()
        return answer

    def get(self, id: str, owner: str | None) -> Any:
        """One upload. ``Problem`` 404."""
        with self._database.read() as connection:
            row = connection.execute(rows.BY_ID, {"of_id": id}).one_or_none()
        if row is None or row.kind == rows.PUT or (owner is not None and row.owner != owner):
            raise not_found("upload", id)
        return row

    def list(
        self, owner: str | None, state: UploadState | None, before: int | None, limit: int
    ) -> tuple[Sequence[Any], str | None]:
        """A page of uploads, newest first, of a lower number than ``before``, and the cursor of the next one."""
        query = rows.QUERY.where(upload.c.kind != rows.PUT)
        query = query if owner is None else query.where(upload.c.owner == owner)
        in_state = None if state is None else lambda row: rows.state_of(row) is state
        with self._database.read() as connection:
            return newest(connection, query, upload, before=before, limit=limit, wanted=in_state)

    def failed(self, owner: str) -> Mapping[bool, Sequence[str]]:
        """The names of what this user's failed uploads have on this gateway's disk; by whether they came as a PUT."""
        ended = or_(upload.c.end == "failed", file.c.state == FileState.FAILED)
        mine = (upload.c.gateway == self.gateway, upload.c.ended.is_(None), upload.c.owner == owner)
        query = select(upload.c.id, upload.c.kind, upload.c.parts).join(file, file.c.seq == upload.c.file)
        with self._database.read() as connection:
            found = connection.execute(query.where(*mine, ended)).all()
        names: dict[bool, list[str]] = {False: [], True: []}
        for row in found:
            names[row.kind == rows.PUT] += (row.id, *rows.parts_of(row))
        return names

    def is_known(self, owner: str, key: str | None, fingerprint: str) -> bool:
        """Whether this request has been accepted before."""
        with self._database.read() as connection:
            return key is not None and intake.replay(connection, owner, key, fingerprint) is not None

    def of_transfer(self, id: str) -> tuple[str, Sequence[Any]]:
        """The transfer that this upload belongs to, and all its uploads, in the order in which they were announced."""
        with self._database.read() as connection:
            first = connection.execute(rows.BY_ID, {"of_id": id}).one()
            its = rows.QUERY.where(file.c.transfer == first.transfer_seq).order_by(upload.c.seq)
            return first.transfer_id, connection.execute(its).all()

    def lookup(self, id: str) -> StagedUpload:
        """What the engine reads. ``NotFound`` for what is not, or no longer, on this gateway's disk."""
        with self._database.read() as connection:
            row = connection.execute(_STAGED, {"of_id": id}).one_or_none()
            if row is None or row.gateway != self.gateway or row.ended is not None:
                raise NotFound("the bytes of the upload are not here any more", path=id)
            ids = rows.parts_of(row)
            lengths = select(upload.c.id, upload.c.length).where(upload.c.id.in_(ids))
            found = {part.id: part.length for part in connection.execute(lengths)} if ids else {}
        return rows.staged(row, tuple(StagedPart(part, found[part]) for part in ids))

    def announce(self, row: Any, length: int) -> None:
        """The sender says how long the upload will be."""

        def job(connection: Connection) -> None:
            its = (upload.c.seq == row.seq, upload.c.length.is_(None))
            connection.execute(update(upload).where(*its).values(length=length))
            points.written(connection, "upload.length")

        self._database.write(job)

    def record(self, row: Any, stored: Stored) -> Any:
        """Write how much of it is durable; its row after that. ``Problem`` 410 if it has ended meanwhile."""

        def job(connection: Connection) -> Any:
            now = self._database.now(connection)
            before = _locked(connection, row.seq)
            rows.refuse_gone(before)
            if before.completed is None and (stored.offset > before.received or stored.complete):
                self._record(connection, before, stored, now)
                points.written(connection, "upload.recorded")
            return _row(connection, row.seq)

        after = self._database.write(job)
        if stored.complete:
            self.on_received()
        return after

    def lost(self, row: Any, stored: Stored) -> None:
        """The disk holds less than was recorded: somebody has changed it behind our back. The sender begins there."""
        values = {"received": stored.offset, "crc64nvme": stored.crc64nvme}

        def job(connection: Connection) -> None:
            connection.execute(update(upload).where(upload.c.seq == row.seq).values(values))
            points.written(connection, "upload.lost")

        self._database.write(job)

    def refuse(self, row: Any, cause: Cause) -> None:
        """End an upload that is not what was promised: its file fails, its bytes are not kept."""

        def job(connection: Connection) -> None:
            now = self._database.now(connection)
            connection.execute(
                update(upload).where(upload.c.seq == row.seq, upload.c.end.is_(None)).values(end="failed")
            )
            held = read_held(connection, file.c.seq == row.file, limit=1)
            moves = [Move(h, What.FAILURE, failure=Failure(ErrorKind.PERMANENT, cause)) for h in held]
            write_moves_that_still_fit(connection, [m for m in moves if (m.held.state, m.what) in ARROWS], now)
            points.written(connection, "upload.refused")

        self._database.write(job)

    def terminate(self, row: Any) -> None:
        """End an upload because its sender wants it. ``Problem`` 409 while its file is being published, or if it is
        part of another, 410 if it has ended."""

        def job(connection: Connection) -> None:
            now = self._database.now(connection)
            before = _locked(connection, row.seq)
            if before.end == "cancelled":
                return  # our own commit, whose answer was lost; or somebody has asked twice
            rows.refuse_gone(before)
            if before.whole is not None:
                raise conflict("part-used", f"The upload {row.id} is part of another one.", "Delete that one.")
            self._terminate(connection, before, now)
            points.written(connection, "upload.terminated")

        self._database.write(job)
        self.on_new()

    # --- what is over --------------------------------------------------------------------------------------------

    def receiving(self) -> Sequence[Any]:
        """Uploads on this gateway's disk that have not ended; for the start."""
        with self._database.read() as connection:
            mine = (upload.c.gateway == self.gateway, upload.c.ended.is_(None), upload.c.end.is_(None))
            return connection.execute(rows.QUERY.where(*mine)).all()

    def give_time(self) -> None:
        """At the start: while we were away no sender could come back, so none is given up before it had the chance."""

        def job(connection: Connection) -> None:
            until = self._database.now(connection) + min(self.terms.idle, CHANCE).total_seconds()
            mine = (upload.c.gateway == self.gateway, upload.c.ended.is_(None), upload.c.end.is_(None))
            connection.execute(update(upload).where(*mine, upload.c.expires < until).values(expires=until))
            points.written(connection, "upload.time_given")

        self._database.write(job)

    def expire(self, busy: Collection[str], *, only: str | None = None) -> int:
        """Give up a portion of the uploads whose senders did not come back (or ``only`` this one), except those that
        somebody is at; returns how many."""

        def job(connection: Connection) -> int:
            now = self._database.now(connection)
            mine = (upload.c.gateway == self.gateway, upload.c.ended.is_(None), upload.c.end.is_(None))
            late = [*mine, upload.c.expires <= now, upload.c.id.not_in(busy), upload.c.whole.is_(None)]
            late += [] if only is None else [upload.c.id == only]
            found = connection.execute(rows.QUERY.where(*late).limit(PORTION)).all()
            for row in found:
                connection.execute(update(upload).where(upload.c.seq == row.seq).values(end="expired"))
                if row.file is not None:
                    receiving.expired(connection, row.file, now)
                    _journal(connection, "expired", row, {"offset": row.received}, now)
            if found:
                points.written(connection, "upload.expired")
            return len(found)

        return self._database.write(job)

    def stopped(self, ids: Sequence[str]) -> Sequence[Any]:
        """Those of these uploads to which nothing can be added any more."""
        with self._database.read() as connection:
            final = (FileState.DONE, FileState.CANCELLED, FileState.CANCELLING, FileState.FAILED)
            no_more = or_(upload.c.end.is_not(None), and_(upload.c.completed.is_(None), file.c.state.in_(final)))
            return connection.execute(rows.QUERY.where(upload.c.id.in_(ids), no_more)).all()

    def ending(self, ids: Sequence[str]) -> set[str]:
        """Those of these uploads that are cancelled, and wait for who still moves them."""
        with self._database.read() as connection:
            wait = (upload.c.id.in_(ids), upload.c.ended.is_(None), file.c.state == FileState.CANCELLING)
            return set(
                connection.execute(select(upload.c.id).join(file, file.c.seq == upload.c.file).where(*wait)).scalars()
            )

    def over(self, busy: Collection[str], *, only: Sequence[str] | None = None) -> Sequence[Any]:
        """A portion of the uploads (or of ``only`` these) whose bytes nobody needs any more, but which are still on
        the disk."""
        with self._database.read() as connection:
            oldest = self._database.now(connection) - KEPT_AFTER_FAILURE.total_seconds()
            failed = and_(file.c.state == FileState.FAILED, or_(upload.c.end.is_not(None), file.c.finished <= oldest))
            final = file.c.state.in_((FileState.DONE, FileState.CANCELLED))
            alone = and_(upload.c.file.is_(None), upload.c.end.is_not(None))
            mine = [upload.c.gateway == self.gateway, upload.c.ended.is_(None), upload.c.id.not_in(busy)]
            mine += [] if only is None else [upload.c.id.in_(only)]
            return connection.execute(rows.QUERY.where(*mine, or_(failed, final, alone)).limit(PORTION)).all()

    def ended(self, over: Sequence[Any]) -> None:
        """Nothing of these is on the disk any more, nor of the parts that they were made of."""

        def job(connection: Connection) -> None:
            now = self._database.now(connection)
            for row in over:
                end = {"end": rows.state_of(row).value.lower(), "ended": now}
                its = or_(upload.c.seq == row.seq, and_(upload.c.whole == row.seq, upload.c.ended.is_(None)))
                connection.execute(update(upload).where(its).values(end))
            points.written(connection, "upload.ended")

        if over:
            self._database.write(job)

    def kept(self, names: Sequence[str]) -> set[str]:
        """Which of these files on the disk belong to uploads that have not ended."""
        with self._database.read() as connection:
            these = (upload.c.id.in_(names), upload.c.gateway == self.gateway, upload.c.ended.is_(None))
            return set(connection.execute(select(upload.c.id).where(*these)).scalars())

    def _record(self, connection: Connection, row: Any, stored: Stored, now: float) -> None:
        idle = now + self.terms.idle.total_seconds()
        values = {"received": stored.offset, "crc64nvme": stored.crc64nvme, "expires": idle}
        if stored.complete:
            values |= {"completed": now, "length": stored.offset}
            values["expires"] = idle if row.kind == Kind.PARTIAL else None
        new = {f"new_{name}": value for name, value in values.items()}
        _update(tuple(sorted(values))).run(connection, [{"of_seq": row.seq, **new}])
        if row.file is None:
            return
        if stored.complete:
            _journal(connection, "received", row, {"size": stored.offset}, now)
            receiving.received(connection, row.file, now, retry_for=self.terms.retry_for)
        elif stored.cut:
            _journal(connection, "cut", row, {"offset": stored.offset}, now)

    def _terminate(self, connection: Connection, row: Any, now: float) -> None:
        if row.file_state == FileState.DONE:
            return  # it has reached its storage, and is not taken back from there
        connection.execute(update(upload).where(upload.c.seq == row.seq).values(end="cancelled"))
        if row.file is None:
            return
        _journal(connection, "terminated", row, {"offset": row.received}, now)
        after = receiving.cancel(connection, row.file, now)
        if after not in (FileState.CANCELLED, FileState.CANCELLING):
            raise conflict("upload-publishing", "The file of this upload is getting its name at the storage now.",
                           "Wait until it is DONE, then delete it there.")  # fmt: skip


def _row(connection: Connection, seq: int) -> Any:
    return connection.execute(rows.BY_NUMBER, {"of_seq": seq}).one()


def _locked(connection: Connection, seq: int) -> Any:
    connection.execute(_LOCK, {"of_seq": seq})
    return _row(connection, seq)


def _journal(connection: Connection, what: str, row: Any, data: Mapping[str, Any], now: float) -> None:
    write_lines(connection, [journal_line(what, row.transfer_seq, row.file, {"upload": row.id, **data}, now)])


@cache
def _update(names: tuple[str, ...]) -> BulkStatement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return BulkStatement(update(upload).where(upload.c.seq == bindparam("of_seq")).values(values))


_STAGED: Final = select(upload).where(upload.c.id == bindparam("of_id"))
_LOCK: Final = select(upload.c.seq).where(upload.c.seq == bindparam("of_seq")).with_for_update()
