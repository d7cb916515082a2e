"""What storages hold, as the API shows it."""

from __future__ import annotations

from urllib.parse import quote

from scigate.storage_backends.backend import Entry, Extras
from scigate.storage_backends.location import Location

from .entity_tag import etag
from .resources import Entry as EntryView
from .storages import OpenStorage


def view(storage: OpenStorage, entry: Entry) -> EntryView:
    """One entry."""
    return EntryView(
        location=str(Location(storage.name, entry.path)),
        name=entry.path.rstrip("/").rsplit("/", 1)[-1],
        kind=entry.kind.value,
        size=entry.size,
        modified=entry.modified,
        version=entry.version,
        etag=etag(entry),
        digests=dict(entry.digests),
        surl=surl(storage, entry.path),
        note=entry.note,
    )


def surl(storage: OpenStorage, path: str) -> str | None:
    """The storage's own URL of a path."""
    root = storage.root_url
    return None if root is None else root + quote(path.encode("utf-8", "surrogateescape"))


def abilities(extras: Extras) -> list[str]:
    """What the storage can do beyond the contract, as far as it matters to others: in which way it copies does not."""
    return [name for name in Extras.__slots__ if name != "copy_and_read" and getattr(extras, name) is not None]
