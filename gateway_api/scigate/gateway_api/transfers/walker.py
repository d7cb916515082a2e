"""Listing a folder into files of its transfer: streamed, in bounded memory, and safe to begin anew after a crash."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from scigate.storage_backends.backend import Backend, Entry, Kind
from scigate.storage_backends.location import Url
from sqlalchemy import Connection, Select, select, update

from ..db import points
from ..db.database import Database
from ..db.schema import file, transfer, walk
from ..resources import Cause, FileState
from .counters import CANCELLED, RUN, change_counters, finish, journal
from .intake import add_files, lane_of, rank_of, target_of
from .lease import Lease
from .machine import Failure, retry_delay, too_late
from .manifests import MANIFEST, Manifests, forget
from .submission import Pair

CHUNK: Final = 1000  # entries that are written in one commit


@dataclass(frozen=True, slots=True)
class Walk:
    """A folder to be listed."""

    id: int
    transfer: int
    owner: str
    rank: int
    source_storage: str
    source_path: str
    destination_storage: str
    destination_path: str
    failures: int
    deadline: float

    @property
    def manifest(self) -> str | None:
        """The id of the manifest that it is; None: it is a folder of a storage."""
        return self.source_path.rstrip("/") if self.source_storage == MANIFEST else None


class Walks:
    """The folders that are still to be listed."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease, self._manifests = lease, Manifests(database)
        self._stopping = False
        self._claiming, self._running = threading.Lock(), set[int]()

    def claim(self) -> Walk | None:
        """Take one that nobody lists. Two that list the same folder would do each other no harm."""

        def job(connection: Connection) -> Walk | None:
            row = connection.execute(_open_walks(self._database.now(connection))).first()
            if row is None:
                return None
            connection.execute(update(walk).where(walk.c.id == row.id).values(worker=self._lease.worker))
            points.written(connection, "walk.claimed")
            return Walk(
                row.id, row.transfer, row.owner, rank_of(row.priority), row.source_storage, row.source_path,
                row.destination_storage, row.destination_path, row.failures, row.deadline,
            )  # fmt: skip

        with self._database.read() as connection:
            if connection.execute(_open_walks(self._database.now(connection))).first() is None:
                return None
        with self._claiming:
            if (claimed := self._database.write(job)) is not None:
                self._running.add(claimed.id)
        return claimed

    def over(self, task: Walk) -> None:
        """Nobody here lists it any more."""
        with self._claiming:
            self._running.discard(task.id)

    def run(self, task: Walk, open_source: Callable[[str], Backend]) -> None:
        """List the folder to its end, or until stopped. Raises what the storage raises, and ``LeaseLost``."""
        entries = self._entries(task, open_source)
        while chunk := list(islice(entries, CHUNK)):
            self._lease.check()
            if self._stopping:
                self.give_back(task, None)
                return
            if not self._database.write(partial(self._add, task=task, chunk=chunk)):
                return
        self._database.write(lambda connection: self._listed(connection, task))

    def _entries(self, task: Walk, open_source: Callable[[str], Backend]) -> Iterator[Entry | Pair]:
        if (manifest := task.manifest) is not None:
            return self._manifests.pairs(manifest)
        return open_source(task.source_storage).scan(task.source_path)

    def sweep(self) -> None:
        """Remove what nobody will list, and let folders of this worker begin anew that nothing lists: the records were
        out of reach when they were claimed or ended."""
        self._manifests.sweep()
        with self._claiming:
            lost = (walk.c.worker == self._lease.worker, walk.c.done.is_(False), walk.c.id.not_in(self._running))
            with self._database.read() as connection:
                found = connection.execute(select(walk.c.id).where(*lost)).scalars().all()
            if found:
                again = update(walk).where(walk.c.id.in_(found)).values(worker=None)
                self._database.write(lambda connection: connection.execute(again))

    def stop(self) -> None:
        """Running listings end at the next chunk; they begin anew at the next start."""
        self._stopping = True

    def give_back(self, task: Walk, failure: Failure | None) -> None:
        """The listing broke off: try again later, or give up when that cannot help."""
        self._database.write(lambda connection: self._give_back(connection, task, failure))

    def _add(self, connection: Connection, task: Walk, chunk: Sequence[Entry | Pair]) -> bool:
        """Write a chunk of entries; whether the listing is still wanted."""
        if connection.execute(select(transfer.c.wish).where(transfer.c.seq == task.transfer)).scalar() == CANCELLED:
            return False
        now = self._database.now(connection)
        common = {"transfer": task.transfer, "rank": task.rank, "created": now}
        rows = [{**common, **row} for row in _rows(task, chunk, now)]
        lanes = {ends: lane_of(connection, task.owner, *ends) for ends in {_storages(row) for row in rows}}
        rows = [{**row, "lane": lanes[_storages(row)]} for row in rows]
        first, later = _apart(rows)
        added = list(add_files(connection, first))
        new = {row.target for row in added}
        later += [row for row in first if row["target"] not in new]
        added += add_files(connection, _doubles(connection, later, now))
        _count(connection, task.transfer, added)
        points.written(connection, "walk.chunk")
        return True

    def _listed(self, connection: Connection, task: Walk) -> None:
        if (manifest := task.manifest) is not None:
            forget(connection, manifest)
        self._end(connection, task)

    def _end(self, connection: Connection, task: Walk) -> None:
        now = self._database.now(connection)
        open_still = update(walk).where(walk.c.id == task.id, walk.c.done.is_(False)).values(done=True, worker=None)
        if connection.execute(open_still).rowcount == 1:
            change_counters(connection, task.transfer, {"listing": -1})
            journal(connection, task.transfer, "transfer.listed", {"folder": task.id}, now)
            finish(connection, [task.transfer], now)
            points.written(connection, "walk.ended")

    def _give_back(self, connection: Connection, task: Walk, failure: Failure | None) -> None:
        if connection.execute(select(walk.c.done).where(walk.c.id == task.id)).scalar():
            return  # it was listed by two, and the other one has ended
        now = self._database.now(connection)
        mine = update(walk).where(walk.c.id == task.id)
        if failure is None:
            connection.execute(mine.values(worker=None))
        elif not failure.cause.retriable:
            self._give_up(connection, task, failure.cause, now)
        elif now + (delay := retry_delay(task.failures, failure.retry_after)) > task.deadline:
            self._give_up(connection, task, too_late(failure.cause), now)
        else:
            connection.execute(mine.values(worker=None, next_try=now + delay, failures=task.failures + 1))
            change_counters(connection, task.transfer, {}, cause=failure.cause)
        points.written(connection, "walk.given_back")

    def _give_up(self, connection: Connection, task: Walk, cause: Cause, now: float) -> None:
        """The folder itself becomes a failed file of the transfer, so that nobody takes it for copied."""
        lane = lane_of(connection, task.owner, task.source_storage, task.destination_storage)
        row = {**_failed_row(task, task.source_path, cause, now), "transfer": task.transfer, "lane": lane}
        _count(connection, task.transfer, add_files(connection, [{**row, "rank": task.rank, "created": now}]))
        self._end(connection, task)


def _count(connection: Connection, seq: int, added: Sequence[Any]) -> None:
    causes = [row.cause for row in added if row.state == FileState.FAILED]
    size = sum(row.size or 0 for row in added)
    counts = {"total": len(added), "failed": len(causes), "queued": len(added) - len(causes), "bytes_total": size}
    cause = Cause(**json.loads(causes[0])) if causes else None
    change_counters(connection, seq, counts, cause=cause)


def _apart(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first row of each destination, and those that come after it."""
    first = {row["target"]: row for row in reversed(rows)}
    return list(first.values()), [row for row in rows if first[row["target"]] is not row]


def _doubles(connection: Connection, rows: Sequence[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """Of rows whose destination this transfer has already, those from another source: as failed files, so that none is
    missing."""
    if not rows:
        return []
    query = select(file.c.target, file.c.source_storage, file.c.source_path)
    where = (file.c.transfer == rows[0]["transfer"], file.c.target.in_({row["target"] for row in rows}))
    found = connection.execute(query.where(*where))
    there = {row.target: (row.source_storage, row.source_path) for row in found}
    doubles = [row for row in rows if there[row["target"]] != (row["source_storage"], row["source_path"])]
    return [_double(row, now) for row in doubles]


def _double(row: dict[str, Any], now: float) -> dict[str, Any]:
    cause = Cause(
        code="same-destination", message=f"another file of this transfer goes to {row['destination_path']!r} already",
        retriable=False, next_step="Submit it again with another destination.",
    )  # fmt: skip
    target = target_of(row, row["source_storage"], row["source_path"])
    refused = {"state": FileState.FAILED, "size": None, "cause": json.dumps(cause.model_dump()), "finished": now}
    return {**row, **refused, "target": target}


def _open_walks(now: float) -> Select[Any]:
    return (
        select(walk, transfer.c.owner, transfer.c.priority, transfer.c.deadline)
        .join(transfer, transfer.c.seq == walk.c.transfer)
        .where(walk.c.done.is_(False), walk.c.worker.is_(None), walk.c.next_try <= now, transfer.c.wish == RUN)
        .order_by(walk.c.next_try, walk.c.id)
        .limit(1)
    )


def _storages(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["source_storage"], row["destination_storage"]


def _rows(task: Walk, chunk: Sequence[Entry | Pair], now: float) -> Iterator[dict[str, Any]]:
    for entry in chunk:
        if isinstance(entry, Pair):
            yield _named_row(entry)
        elif entry.kind is Kind.FILE:
            yield _queued_row(task, entry)
        else:
            yield _failed_row(task, entry.path, _not_regular(entry), now)


def _queued_row(task: Walk, entry: Entry) -> dict[str, Any]:
    modified = None if entry.modified is None else entry.modified.timestamp()
    return {
        **_ends(task, entry.path), "state": FileState.QUEUED, "size": entry.size, "source_version": entry.version,
        "source_modified": modified, "cause": None, "finished": None,
    }  # fmt: skip


def _named_row(pair: Pair) -> dict[str, Any]:
    """Of a line of a manifest: nothing is known but where it is and where it goes."""
    source, to = pair.source, pair.destination
    storage, path = ("", source.value) if isinstance(source, Url) else (source.storage, source.path)
    ends = {"source_storage": storage, "source_path": path}
    ends |= {"destination_storage": to.storage, "destination_path": to.path}
    unknown = dict.fromkeys(("size", "source_version", "source_modified", "cause", "finished"))
    return {**ends, **unknown, "state": FileState.QUEUED, "target": target_of(ends)}


def _failed_row(task: Walk, path: str, cause: Cause, now: float) -> dict[str, Any]:
    return {
        **_ends(task, path), "state": FileState.FAILED, "size": None, "source_version": None,
        "source_modified": None, "cause": json.dumps(cause.model_dump()), "finished": now,
    }  # fmt: skip


def _ends(task: Walk, path: str) -> dict[str, Any]:
    ends = {
        "source_storage": task.source_storage, "source_path": path, "destination_storage": task.destination_storage,
        "destination_path": task.destination_path + path[len(task.source_path) :],
    }  # fmt: skip
    return {**ends, "target": target_of(ends)}


def _not_regular(entry: Entry) -> Cause:
    return Cause(
        code="not-regular", message=f"{entry.path!r} is not copied: {entry.note or 'it is not a regular file'}",
        retriable=False, next_step="Nothing to do, unless its content is wanted: then copy what it points to.",
    )  # fmt: skip
