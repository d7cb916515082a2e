"""Judges what a run left behind. Imports nothing of the product: its own SQL, its own hashing, its own table.

Looks at the database, the folders and the buckets themselves, and knows from the plan what should be where. The
invariants are numbered:

    I0  everything that was accepted ends, in a state that its request allows
        _ends: each operation's transfer is finished; each file is in a state that the plan says it may have
    I1  every acknowledged submit exists, under one id
        _acknowledged: each (key, id) that a client was answered, against the rows of the database
    I2  DONE means that the destination holds the bytes of the source
        _contents: each destination is read to its end and hashed; the plan knows the hash
    I3  one transfer per idempotency key, one publication per DONE file, no other ones
        _keys counts rows; _history counts the arrows to DONE; test_race counts the renames that the kernel saw, and
        zombie compares inode or ETag before and after
    I4  no reader ever saw anything but a whole old or a whole new object
        watcher: looks at the destinations all through the run
    I5  no draft, multipart upload, staged upload, lock or record of one stays behind
        leftovers: walks the folders, lists the bucket and its uploads, and asks for records of drafts
    I6  what failed leaves the destination as it was; what was cancelled, as it was or whole (the cancel came between
        the publication and its record)
        _contents, as for I2; watcher: what was there never goes away
    I7  FAILED has a cause that a program can read, and is only left by a retry, or when an upload is terminated
        _causes reads those of the rows, _history those of the journal
    I8  counters are the sums of what they count
        _counters: adds up the files of each transfer by itself
    I9  the history of a file is a path of the state machine, and its epochs count up
        _history: follows the journal along ARROWS
    I10 a kill costs no more bytes than the parts that were in flight
        resent: counts the bytes on the wire, and asks recorded() what need not come again
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from .case import Case, Content, Operation, Piece
from .upload_checker import check_uploads

_OWNED: Final = ("CLAIMED", "COPYING", "VERIFYING")
_BROKEN_OFF: Final = ("WAITING", "PAUSED", "FAILED")
ARROWS: Final = {
    ("QUEUED", "claim", "CLAIMED"),
    ("CLAIMED", "start", "COPYING"),
    ("CLAIMED", "skipped", "DONE"),
    ("CLAIMED", "recovered", "DONE"),
    ("COPYING", "stored", "DONE"),
    ("COPYING", "copied", "VERIFYING"),
    ("COPYING", "skipped", "DONE"),
    ("VERIFYING", "damaged", "COPYING"),
    ("VERIFYING", "verified", "PUBLISHING"),
    ("PUBLISHING", "published", "DONE"),
    ("PUBLISHING", "damaged", "COPYING"),
    *((state, "failure", end) for state in ("QUEUED", "WAITING", "PUBLISHING", *_OWNED) for end in _BROKEN_OFF),
    ("WAITING", "received", "QUEUED"),
    *((state, "starved", "WAITING") for state in ("QUEUED", "CLAIMED", "COPYING")),
    *((state, "expired", "FAILED") for state in ("QUEUED", "WAITING", "PAUSED", "CLAIMED", "COPYING")),
    *((state, "scheduled", "WAITING") for state in ("QUEUED", "WAITING", "PAUSED")),
    ("FAILED", "cancel", "CANCELLED"),
    *((state, what, "QUEUED") for state in ("PUBLISHING", *_OWNED) for what in ("release", "lapse")),
    ("CANCELLING", "lapse", "CANCELLING"),
    ("WAITING", "wake", "QUEUED"),
    *((state, "pause", "PAUSED") for state in ("QUEUED", "WAITING", *_OWNED)),
    ("PAUSED", "resume", "QUEUED"),
    ("WAITING", "resume", "QUEUED"),
    ("FAILED", "retry", "QUEUED"),
    *((state, "cancel", "CANCELLED") for state in ("QUEUED", "WAITING", "PAUSED")),
    *((state, "cancel", "CANCELLING") for state in _OWNED),
    ("CANCELLING", "cleaned", "CANCELLED"),
    ("CANCELLING", "stored", "DONE"),
}
"""(state, event, next state): the design's state machine, written down a second time on purpose."""
_OF_UPLOADS: Final = {"received", "starved", "expired"}
FINAL: Final = {"DONE", "FAILED", "CANCELLED"}
BUCKETS: Final = {
    "QUEUED": "queued", "WAITING": "waiting", "PAUSED": "paused", "DONE": "done", "FAILED": "failed",
    "CANCELLED": "cancelled", **dict.fromkeys((*_OWNED, "PUBLISHING", "CANCELLING"), "active"),
}  # fmt: skip
DRAFT: Final = ".scigate-"
Row = dict[str, Any]


class Tables:
    """Everything the database holds, read at once."""

    def __init__(self, url: str) -> None:
        self.transfers = _select(url, "SELECT * FROM transfer ORDER BY seq")
        self.files = _select(url, "SELECT * FROM file ORDER BY seq")
        self.events = _select(url, "SELECT * FROM event ORDER BY id")
        self.walks = _select(url, "SELECT * FROM walk ORDER BY id")
        self.workers = _select(url, "SELECT * FROM worker")
        self.keys = _select(url, "SELECT * FROM idempotency")
        self.uploads = _select(url, "SELECT * FROM upload ORDER BY seq")
        for row in self.files:
            row["source_path"], row["destination_path"] = (
                bytes(row[name]).decode("utf-8", "surrogateescape") for name in ("source_path", "destination_path")
            )
        self.by_label: dict[str, list[Row]] = defaultdict(list)
        for row in self.transfers:
            self.by_label[row["label"]].append(row)
        self.by_transfer: dict[int, list[Row]] = defaultdict(list)
        for row in self.files:
            self.by_transfer[row["transfer"]].append(row)


def check(case: Case, acknowledged: Iterable[tuple[str, str]]) -> list[str]:
    """Every violation, as a sentence that begins with the number of its invariant."""
    tables = Tables(case.database)
    found = _list_objects(case)
    return [
        *_acknowledged(tables, acknowledged),
        *_keys(tables),
        *_ends(case, tables),
        *_contents(case, tables, found),
        *leftovers(case),
        *([f"I5 {len(tables.workers)} workers are recorded, none runs"] if tables.workers else []),
        *_causes(tables),
        *_counters(tables),
        *_histories(tables),
        *check_uploads(case, tables.uploads, tables.files, tables.events),
    ]


def interrupted(url: str) -> int:
    """How many attempts at a file ended with the death of their gateway."""
    return int(_select(url, "SELECT count(*) AS found FROM event WHERE type = 'file.lapse'")[0]["found"])


def recorded(url: str) -> int:
    """Bytes of blocks that are recorded as being at a draft."""
    return int(_select(url, "SELECT coalesce(sum(length), 0) AS found FROM block")[0]["found"])


def _acknowledged(tables: Tables, acknowledged: Iterable[tuple[str, str]]) -> Iterator[str]:
    ids: dict[str, set[str]] = defaultdict(set)
    for key, transfer in acknowledged:
        ids[key].add(transfer)
    stored = {row["id"]: row["label"] for row in tables.transfers}
    for key, given in ids.items():
        if len(given) > 1:
            yield f"I1 the key {key} was acknowledged as {len(given)} transfers"
        for transfer in given:
            if transfer not in stored:
                yield f"I1 the transfer {transfer} of key {key} was acknowledged and does not exist"
            elif stored[transfer] not in (key, None):
                yield f"I1 the transfer {transfer} is of key {stored[transfer]}, not {key}"


def _keys(tables: Tables) -> Iterator[str]:
    for label, rows in tables.by_label.items():
        if label is not None and len(rows) > 1:
            yield f"I3 the key {label} has {len(rows)} transfers"
    transfers = {row["seq"]: row["id"] for row in tables.transfers}
    files = {row["seq"]: transfers[row["transfer"]] for row in tables.files}
    known = {id: id for id in transfers.values()}
    known |= {row["id"]: files.get(row["file"], row["id"]) for row in tables.uploads}  # partial ones have no transfer
    counted = Counter((row["owner"], row["key"]) for row in tables.keys)
    yield from (f"I3 the key {key} is stored {n} times" for key, n in counted.items() if n > 1)
    yield from (f"I3 the key {row['key']} has no transfer" for row in tables.keys if row["transfer"] not in known)
    bound = Counter(known.get(row["transfer"]) for row in tables.keys)
    yield from (f"I3 the transfer {row['id']} has {bound[row['id']]} keys"
                for row in tables.transfers if bound[row["id"]] != 1)  # fmt: skip


def _ends(case: Case, tables: Tables) -> Iterator[str]:
    """Everything that was submitted ended, and as its request allows."""
    for operation in case.operations:
        for transfer in _transfers_of(operation, tables):
            files = tables.by_transfer[transfer["seq"]]
            if transfer["finished"] is None:
                states = dict(Counter(row["state"] for row in files))
                yield f"I0 {operation.name} did not end: wish {transfer['wish']}, files {states}"
            for row in files:
                if row["state"] in FINAL and row["state"] not in operation.outcomes:
                    yield f"I0 {operation.name}: {_named(row)} is {row['state']}: {_short(row['cause'])}"
            yield from _all_listed(operation, transfer, files)


def _all_listed(operation: Operation, transfer: Row, files: list[Row]) -> Iterator[str]:
    there = {(row["destination_storage"], row["destination_path"]) for row in files}
    wanted = {(piece.storage, piece.path) for piece in operation.pieces}
    if there - wanted:
        yield f"I0 {operation.name} has {len(there - wanted)} files that nobody asked for"
    if wanted - there and transfer["wish"] != "cancel" and transfer["finished"] is not None:
        yield f"I0 {operation.name} ended without {len(wanted - there)} of its files"


def _contents(case: Case, tables: Tables, found: dict[str, Content]) -> Iterator[str]:
    for operation in case.operations:
        rows = [row for transfer in _transfers_of(operation, tables) for row in tables.by_transfer[transfer["seq"]]]
        by_place = {(row["destination_storage"], row["destination_path"]): row for row in rows}
        for piece in operation.pieces:
            row = by_place.get((piece.storage, piece.path))
            yield from _content(operation, piece, row, _content_of(piece, found))


def _content(operation: Operation, piece: Piece, row: Row | None, there: Content | None) -> Iterator[str]:
    state = row["state"] if row else "not there"
    name = f"{operation.name}: {piece.storage}:/{piece.path} is {state}"
    if row and state == "DONE":
        right = (piece.old,) if row["skipped"] and piece.old else piece.fresh
        if there not in right:
            yield f"I2 {name}, but the destination holds {_said(there, piece)}"
        if row["bytes_done"] != row["size"] or row["size"] != right[0].size:
            yield f"I8 {name}, with {row['bytes_done']} of {row['size']} bytes, not {right[0].size}"
        if not row["skipped"] and row["proof"] not in ("A", "B", "C", "D"):
            yield f"I2 {name} without a grade of proof"
    elif there != piece.old and not (state == "CANCELLED" and there in piece.fresh):
        yield f"I6 {name}, but the destination holds {_said(there, piece)}"


def leftovers(case: Case) -> list[str]:
    """What must go away by itself within a minute."""
    drafts = [str(path) for root in case.posix_roots for path in _walk(root) if path.name.startswith(DRAFT)]
    staged = [str(path) for path in _walk(case.staging)]
    hidden = [key for key in _keys_below(case) if DRAFT in key]
    uploads = [f"{key} ({upload})" for key, upload in _uploads(case)]
    locks = sorted(path.name for path in _walk(case.workers))
    return [
        *_records_left(case.database),
        *(f"I5 a draft stays: {name}" for name in drafts),
        *(f"I5 a hidden object stays: {name}" for name in hidden),
        *(f"I5 a multipart upload stays: {name}" for name in uploads),
        *(f"I5 a staged upload stays: {name}" for name in staged),
        *([f"I5 {len(locks)} lock files of workers stay"] if len(locks) > 1 else []),
    ]


def _records_left(url: str) -> Iterator[str]:
    query = "SELECT draft.key, file.state FROM draft JOIN file ON file.seq = draft.file"
    if orphans := [row["key"] for row in _select(url, query) if row["state"] in FINAL]:
        yield f"I5 {len(orphans)} records of drafts of files that are final, e.g. {orphans[0]}"


def _causes(tables: Tables) -> Iterator[str]:
    for row in tables.files:
        if row["state"] != "FAILED":
            continue
        cause = json.loads(row["cause"] or "{}")
        missing = [name for name in ("code", "message", "next_step") if not cause.get(name)]
        if missing or not isinstance(cause.get("retriable"), bool):
            yield f"I7 {_named(row)} is FAILED, but its cause is {_short(row['cause'])}"
        elif cause["code"] == "internal":
            yield f"I7 {_named(row)} failed for a mistake of the gateway"


def _counters(tables: Tables) -> Iterator[str]:
    open_walks = Counter(row["transfer"] for row in tables.walks if not row["done"])
    for transfer in tables.transfers:
        files = tables.by_transfer[transfer["seq"]]
        sums = Counter(dict.fromkeys(BUCKETS.values(), 0))
        sums.update(BUCKETS[row["state"]] for row in files)
        sums["total"] = len(files)
        sums["skipped"] = sum(bool(row["skipped"]) for row in files)
        sums["bytes_total"] = sum(row["size"] or 0 for row in files)
        sums["bytes_done"] = sum(row["bytes_done"] for row in files)
        sums["listing"] = open_walks[transfer["seq"]]
        wrong = {name: (transfer[name], value) for name, value in sums.items() if transfer[name] != value}
        if wrong:
            yield f"I8 the counters of {transfer['label']} (counted, real): {wrong}"
        is_open = sums["listing"] or any(row["state"] not in FINAL for row in files)
        if bool(is_open) == (transfer["finished"] is not None):
            yield f"I8 {transfer['label']}: finished is {transfer['finished']}, open is {bool(is_open)}"


def _histories(tables: Tables) -> Iterator[str]:
    events: dict[int, list[Row]] = defaultdict(list)
    for event in tables.events:
        if event["type"].startswith("file."):
            events[event["file"]].append(event)
    later = {row["seq"]: row["not_before"] for row in tables.transfers}
    for row in tables.files:
        yield from _history(row, events[row["seq"]], later[row["transfer"]])
    yield from (f"I9 events of a file {seq} that does not exist"
                for seq in events.keys() - {row["seq"] for row in tables.files})  # fmt: skip


def _history(row: Row, events: list[Row], not_before: float | None) -> Iterator[str]:
    name = _named(row)
    upload = row["source_storage"].startswith("staging@")  # waits for its sender first, if not all of it came at once
    state, epoch, published = ("QUEUED", 0, 0) if events or row["state"] == "QUEUED" else (row["state"], 0, 0)
    waits = upload or not_before is not None
    if waits and events and json.loads(events[0]["data"])["from"] == "WAITING":
        state = "WAITING"
    if not events and state not in (("QUEUED", "FAILED", "WAITING") if waits else ("QUEUED", "FAILED")):
        yield f"I9 {name} is {state} and has no history"
    for event in events:
        data, what = json.loads(event["data"]), event["type"].removeprefix("file.")
        step = (data["from"], what, data["to"])
        if step not in ARROWS or data["from"] != state or (what in _OF_UPLOADS and not upload):
            yield f"I9 {name} was {state}, then {' '.join(step)}: event {event['id']}"
        if data["epoch"] != epoch + (what == "claim"):
            yield f"I9 {name}: the epoch goes from {epoch} to {data['epoch']} with {what}: event {event['id']}"
        if what == "claim" and event["time"] < (not_before or 0):
            yield f"I9 {name} was claimed before its time: event {event['id']}"
        if data["to"] == "FAILED" and not data.get("cause", {}).get("code"):
            yield f"I7 {name}: event {event['id']} does not say why"
        state, epoch = data["to"], data["epoch"]
        published += state == "DONE"
    if events and (state, epoch) != (row["state"], row["epoch"]):
        yield f"I9 {name} is {row['state']} in epoch {row['epoch']}; its history ends with {state} in {epoch}"
    if published != (row["state"] == "DONE"):
        yield f"I3 {name} is {row['state']} and was published {published} times"


def _transfers_of(operation: Operation, tables: Tables) -> list[Row]:
    if operation.transfer is not None:  # an upload has no label
        return [row for row in tables.transfers if row["id"] == operation.transfer]
    return tables.by_label.get(operation.key, [])


# --- looking at the things themselves --------------------------------------------------------------------------------


def _select(url: str, query: str) -> list[Row]:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url.replace("+psycopg", ""), row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


def _walk(root: str) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def _uploads(case: Case) -> Iterator[tuple[str, str]]:
    client = case.s3.client()
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=case.s3.bucket, Prefix=case.s3.prefix):
        yield from ((upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", ()))


def _keys_below(case: Case) -> Iterator[str]:
    for page in (
        case.s3.client().get_paginator("list_objects_v2").paginate(Bucket=case.s3.bucket, Prefix=case.s3.prefix)
    ):
        yield from (item["Key"] for item in page.get("Contents", ()))


def _list_objects(case: Case) -> dict[str, Content]:
    """Every object of the run, read to its end."""
    client = case.s3.client()

    def read(key: str) -> Content:
        return content_of(client.get_object(Bucket=case.s3.bucket, Key=key)["Body"].iter_chunks(1 << 20))

    return {key: read(key) for key in _keys_below(case)}


def _content_of(piece: Piece, objects: dict[str, Content]) -> Content | None:
    if piece.is_object:
        return objects.get(piece.place)
    try:
        with open(piece.place, "rb") as file:
            return content_of(iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return None


def content_of(buffers: Iterable[bytes]) -> Content:
    """What a stream of bytes is."""
    digest, size = hashlib.sha256(), 0
    for buffer in buffers:
        digest.update(buffer)
        size += len(buffer)
    return Content(digest.hexdigest(), size)


def _named(row: Row) -> str:
    return f"file {row['seq']} ({row['destination_storage']}:/{row['destination_path']})"


def _said(there: Content | None, piece: Piece) -> str:
    if there is None:
        return "nothing"
    known = {piece.also: "the changed content", piece.new: "the new content", piece.old: "the old content"}
    return known.get(there) or f"{there.size} other bytes ({there.sha256[:12]})"


def _short(text: str | None) -> str:
    return (text or "no cause")[:300]
