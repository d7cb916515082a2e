"""Reading the journal, in its order, from behind any of its lines. The only SQL of the events.

Ids become visible in order, also those of several gateways on one database (``db.database``), so whoever has read up
to an id has missed nothing before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, false, func, or_, select

from ..db.database import Database
from ..db.schema import event, file, transfer, upload
from ..resources import Event
from .cloudevents import PREFIX, event_of, text_of
from .topics import ALL, transfers_of

SPAN: Final = 20_000
"""Lines of the journal that one query looks through, so that a stranger's question costs little."""

LINES: Final = (
    select(
        event.c.id, event.c.time, event.c.type, event.c.file, event.c.data,
        transfer.c.id.label("transfer_id"), transfer.c.owner, transfer.c.label,
        file.c.destination_storage, file.c.destination_path, file.c.size, file.c.proof, file.c.skipped, file.c.digests,
    )
    .join(transfer, transfer.c.seq == event.c.transfer)
    .outerjoin(file, file.c.seq == event.c.file)
    .order_by(event.c.id)
)  # fmt: skip
"""Everything that ``cloudevents.event_of`` needs."""


@dataclass(frozen=True)
class Line:
    """A line of the journal; event and text are made when they are first asked for, and kept."""

    id: int
    owner: str
    transfer: str
    type: str
    row: Any

    @property
    def weight(self) -> int:
        """Bytes that it may take in memory, roughly: each byte of a path may be six in JSON."""
        return 1000 + 2 * len(self.row.data) + 6 * len(self.row.destination_path or "")

    @cached_property
    def event(self) -> Event:
        return event_of(self.row)

    @cached_property
    def text(self) -> bytes:
        """The event in JSON."""
        return text_of(self.row)


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, and up to which id: nothing that is wanted lies between the last line and ``cursor``."""

    lines: Sequence[Line]
    cursor: int
    end: bool
    """Whether ``cursor`` is the end of the journal."""


class Journal:
    """The journal of all transfers. ``owner`` None means: those of everybody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """The id of the last line; 0 when there is none."""
        with self._database.read() as connection:
            return _newest(connection)

    def visible(self, transfers: Collection[str], owner: str | None) -> set[str]:
        """Those of these transfers that exist and are the owner's."""
        query = select(transfer.c.id).where(transfer.c.id.in_(transfers))
        query = query if owner is None else query.where(transfer.c.owner == owner)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars()) if transfers else set()

    def moving_rows(
        self, seqs: Collection[int], ids: Collection[str], uploads: Collection[int], most: int
    ) -> Sequence[Any]:
        """Rows of transfers that are not finished: those that are named, also by an upload; the newest of them."""
        sent = select(file.c.transfer).join(upload, upload.c.file == file.c.seq).where(upload.c.seq.in_(uploads))
        named = or_(transfer.c.seq.in_(seqs), transfer.c.id.in_(ids), transfer.c.seq.in_(sent))
        query = select(transfer).where(named, transfer.c.finished.is_(None)).order_by(transfer.c.seq.desc()).limit(most)
        with self._database.read() as connection:
            return connection.execute(query).all()

    def received(self, transfers: Collection[int], uploads: Collection[int]) -> tuple[Mapping[int, int], Sequence[Any]]:
        """Bytes recorded as received, by transfer, of those that are uploads; and the rows of those ``uploads``."""
        of_these = upload.join(file, file.c.seq == upload.c.file)
        sums = select(file.c.transfer, func.sum(upload.c.received)).select_from(of_these)
        rows = select(file.c.transfer, upload.c.seq, upload.c.id, upload.c.received).select_from(of_these)
        these = file.c.transfer.in_(transfers)
        with self._database.read() as connection:
            found = {seq: int(sum_) for seq, sum_ in connection.execute(sums.where(these).group_by(file.c.transfer))}
            return found, connection.execute(rows.where(these, upload.c.seq.in_(uploads))).all()

    def read(
        self, after: int, limit: int, *, owner: str | None, topics: Collection[str], types: Collection[str] = ()
    ) -> list[Event]:
        """The next events behind the id ``after``, oldest first, at most ``limit``; empty only at the end."""
        while True:
            found = self.scan(after, limit, owner=owner, topics=topics, types=types)
            if found.lines or found.end:
                return [line.event for line in found.lines]
            after = found.cursor

    def scan(
        self, after: int, limit: int, *, owner: str | None, topics: Collection[str], types: Collection[str] = ()
    ) -> Scan:
        """The same, looking through a bounded part of the journal; go on behind ``cursor``."""
        with self._database.read() as connection:
            newest = _newest(connection)  # before the lines: what is committed between them is found next time
            until = min(newest, after + SPAN) if ALL in topics else newest
            query = LINES.where(event.c.id > after, event.c.id <= until).limit(limit)
            rows = connection.execute(_narrowed(connection, query, owner, topics, types)).all()
        lines = [line_of(row) for row in rows]
        cursor = lines[-1].id if len(lines) == limit else max(until, after)
        return Scan(lines, cursor, end=cursor >= newest)


def line_of(row: Any) -> Line:
    """A row of ``LINES``."""
    return Line(row.id, row.owner, row.transfer_id, PREFIX + row.type, row)


def of_transfer(seq: int, after: int, limit: int) -> Select[Any]:
    """The lines of one transfer."""
    return LINES.where(event.c.transfer == seq, event.c.id > after).limit(limit)


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(event.c.id), 0))).scalar_one())


def _narrowed(
    connection: Connection, query: Select[Any], owner: str | None, topics: Collection[str], types: Collection[str]
) -> Select[Any]:
    if owner is not None:
        query = query.where(transfer.c.owner == owner)
    if ALL not in topics:
        named = select(transfer.c.seq).where(transfer.c.id.in_(transfers_of(topics)))
        query = query.where(event.c.transfer.in_(connection.execute(named).scalars().all()))
    return query.where(_of_types(types)) if types else query


def _of_types(types: Collection[str]) -> ColumnElement[bool]:
    plain = [kind.removeprefix(PREFIX) for kind in types if not kind.endswith("*")]
    begins = [kind[:-1].removeprefix(PREFIX) for kind in types if kind.endswith("*")]
    return or_(false(), event.c.type.in_(plain), *(event.c.type.startswith(start, autoescape=True) for start in begins))
