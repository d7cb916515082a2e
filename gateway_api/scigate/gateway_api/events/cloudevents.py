"""A line of the journal as a CloudEvent (CloudEvents 1.0.2), in structured JSON mode."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from scigate.storage_backends.location import Location

from ..resources import Event, FileState

PREFIX: Final = "scigate."
"""Begins the type of every event, so that it is unique among those of other products."""

SOURCE: Final = "/api/v1/transfers/"


def event_of(row: Any) -> Event:
    """The event of a row of ``journal.LINES``; the same row always gives the same event.

    ``data`` says which transfer and whose; of a file also where it goes, and once it is DONE how large it is, how
    that was proven, and its digests: none of it changes any more.
    """
    of_file = row.file is not None
    return Event(
        id=str(row.id), source=SOURCE + row.transfer_id, type=PREFIX + row.type,
        subject=f"{row.transfer_id}.{row.file}" if of_file else None, time=datetime.fromtimestamp(row.time, UTC),
        data=_data(row),
    )  # fmt: skip


def as_json(event: Event) -> str:
    """One line of ASCII: surrogate escapes in paths survive (``resources.PathText``), and SSE needs no more lines."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":"))


def _data(row: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"transfer": row.transfer_id, "owner": row.owner}
    if row.label is not None:
        data["label"] = row.label
    told: dict[str, Any] = json.loads(row.data)
    if row.destination_storage is not None:  # None: of a whole transfer, or the file is not there any more
        data["destination"] = str(Location(row.destination_storage, row.destination_path))
    if row.destination_storage is not None and told.get("to") == FileState.DONE:
        data |= {"size": row.size, "proof": row.proof, "skipped": row.skipped}
        data["digests"] = json.loads(row.digests) if row.digests else {}
    return data | told
