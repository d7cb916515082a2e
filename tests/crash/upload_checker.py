"""Judges what became of resumable uploads. Imports nothing of the product; called by ``checker``.

U1  an offset that was told never goes back, and no byte is told that was never sent
U2  every upload that was acknowledged exists, once, and no other ones
U3  an upload ends as its file does, and all of them end; what is complete has all bytes
U4  what was deleted is not stored afterwards; what was not deleted is not cancelled
U5  nothing expires before the time that was told, nor while its sender goes on
U6  the journal tells the life of each upload, once, in the order of events
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from .case import Case, Operation, Sending

Row = dict[str, Any]
ENDS: Final = {"done": "DONE", "cancelled": "CANCELLED", "expired": "FAILED", "failed": "FAILED"}
"""How an upload ends → the state of its file."""
LIFE: Final = {
    "": {"created"},
    "created": {"cut", "received", "terminated", "expired"},
    "cut": {"cut", "received", "terminated", "expired"},
    "received": {"terminated"},
    "terminated": set(),
    "expired": set(),
}
"""What may follow what in the journal of an upload."""


def check_uploads(case: Case, uploads: list[Row], files: list[Row], events: list[Row]) -> Iterator[str]:
    """Every violation, as a sentence that begins with the number of its invariant."""
    by_id, by_file = {row["id"]: row for row in uploads}, {row["seq"]: row for row in files}
    known = set()
    for operation in case.operations:
        for sending in operation.sendings:
            yield from _offsets(sending)
            if sending.id is not None:
                known.add(sending.id)
                yield from _stored(operation, sending, by_id.get(sending.id), by_file)
    yield from (f"U2 the upload {row['id']} is nobody's" for row in uploads
                if row["kind"] != "put" and row["id"] not in known)  # fmt: skip
    yield from _ends(uploads, by_file)
    yield from _journal(case, by_id, events)


def _offsets(sending: Sending) -> Iterator[str]:
    for (before, _), (after, _) in pairwise(sending.told):
        if after < before:
            yield f"U1 {sending.key}: the offset {before} was told, and {after} later"
    for offset, sent in sending.told:
        if sending.kind != "final" and offset > sent:
            yield f"U1 {sending.key}: the offset {offset} was told, though only {sent} bytes had been sent"


def _stored(operation: Operation, sending: Sending, row: Row | None, files: dict[int, Row]) -> Iterator[str]:
    if row is None:
        yield f"U2 the upload {sending.id} of {sending.key} was acknowledged and does not exist"
        return
    told = max((offset for offset, _ in sending.told), default=0)
    if row["received"] < told or (row["completed"] is not None and row["received"] != sending.length):
        yield f"U1 {sending.key}: {told} of {sending.length} bytes were told, {row['received']} are recorded"
    if row["end"] == "done" and row["completed"] is None:
        yield f"U3 {sending.key} is done, but not complete"
    state = files[row["file"]]["state"] if row["file"] is not None else None
    if sending.ended and state != "DONE" and row["end"] != "cancelled":
        yield f"U4 {sending.key} was deleted, but is {row['end']} and its file {state}"
    if row["end"] == "cancelled" and operation.manner.ends_at is None:
        yield f"U4 {sending.key} is cancelled, though nobody has deleted it"
    if row["end"] == "expired" and operation.manner.leaves_at is None:
        yield f"U5 {sending.key} has expired, though its sender went on"


def _ends(uploads: list[Row], files: dict[int, Row]) -> Iterator[str]:
    for row in uploads:
        name = f"the upload {row['id']} ({row['kind']})"
        if row["end"] is None or row["ended"] is None:
            yield f"U3 {name} did not end: {row['end']}, {row['received']} of {row['length']} bytes"
        elif row["file"] is not None and files[row["file"]]["state"] != ENDS[row["end"]]:
            yield f"U3 {name} is {row['end']}, its file is {files[row['file']]['state']}"


def _journal(case: Case, uploads: dict[str, Row], events: list[Row]) -> Iterator[str]:
    lines: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        if event["type"].startswith("upload."):
            lines[json.loads(event["data"])["upload"]].append(event)
    yield from (f"U6 events of an upload {id} that does not exist" for id in lines.keys() - uploads.keys())
    told = {sending.id: sending.expires for operation in case.operations for sending in operation.sendings}
    for id, row in uploads.items():
        if row["file"] is not None and row["kind"] != "put":
            yield from _life(row, lines[id])
            yield from (f"U5 the upload {id} expired {told[id] - event['time']:.1f} s too early"
                        for event in lines[id]
                        if event["type"] == "upload.expired" and event["time"] < told.get(id, 0.0))  # fmt: skip
    yield from _stored_after_the_end(uploads, events, lines)


def _life(row: Row, lines: list[Row]) -> Iterator[str]:
    before = ""
    for event in lines:
        what = event["type"].removeprefix("upload.")
        if what not in LIFE[before]:
            yield f"U6 the upload {row['id']} was {before or 'not there'}, then {what}: event {event['id']}"
        before = what
    counted = Counter(event["type"] for event in lines)
    complete = row["completed"] is not None and row["kind"] != "final" and row["length"]
    if counted["upload.received"] != bool(complete):
        yield f"U6 the upload {row['id']} was received {counted['upload.received']} times"


def _stored_after_the_end(uploads: dict[str, Row], events: list[Row], lines: dict[str, list[Row]]) -> Iterator[str]:
    """After a deletion its file is only DONE if it was stored before anybody there could know of it."""
    ended = {uploads[id]["file"]: event["id"] for id, its in lines.items() if id in uploads
             for event in its if event["type"] == "upload.terminated"}  # fmt: skip
    for event in events:
        if event["id"] > ended.get(event["file"], event["id"]) and event["type"].startswith("file."):
            data = json.loads(event["data"])
            if data["to"] == "DONE" and event["type"] != "file.stored":
                yield f"U4 the file {event['file']} was stored after its upload was deleted: event {event['id']}"
