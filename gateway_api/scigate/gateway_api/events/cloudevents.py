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
    return Event(**_attributes(row))


def text_of(row: Any) -> bytes:
    """The same in JSON, many times faster: each line of the journal comes by here."""
    found = _attributes(row)
    time = found["time"].isoformat().replace("+00:00", "Z")
    return _json({"specversion": "1.0", **found, "time": time, "datacontenttype": "application/json"}).encode()


def as_json(event: Event) -> str:
    """One line of ASCII: surrogate escapes in paths survive (``resources.PathText``), and SSE needs no more lines."""
    return _json(event.model_dump(mode="json"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _attributes(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id), "source": SOURCE + row.transfer_id, "type": PREFIX + row.type,
        "subject": None if row.file is None else f"{row.transfer_id}.{row.file}",
        "time": datetime.fromtimestamp(row.time, UTC), "data": _data(row),
    }  # fmt: skip


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
