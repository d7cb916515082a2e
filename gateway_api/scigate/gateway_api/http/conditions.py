"""Which bytes a download gives: conditional requests and ranges, decided without I/O (RFC 9110 §13 and §14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from scigate.storage_backends.backend import Entry

from ..entity_tag import etag

__all__ = ["Selection", "etag", "last_modified", "select"]

_TAG: Final = re.compile(r'(?:W/)?"[!#-~\x80-\xff]*"')
_RANGE: Final = re.compile(r"bytes=\s*(\d{0,99})\s*-\s*(\d{0,99})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer's status, and which bytes it carries. 412 and 416 carry none."""

    status: int
    offset: int = 0
    length: int = 0


def last_modified(entry: Entry) -> str | None:
    """As an HTTP date (RFC 9110 §5.6.7)."""
    return format_datetime(entry.modified.astimezone(UTC), usegmt=True) if entry.modified else None


def select(headers: Mapping[str, str], entry: Entry, *, ranges: bool = True, now: datetime | None = None) -> Selection:
    """What to answer to a GET with these request headers. ``ranges`` is False for HEAD, which knows none (§14.2)."""
    if not _precondition_holds(headers, entry):
        return Selection(412)
    if _not_modified(headers, entry):
        return Selection(304)
    wanted = headers.get("Range") if ranges else None
    if wanted is None or not _if_range_holds(headers.get("If-Range"), entry, now or datetime.now(UTC)):
        return Selection(200, 0, entry.size)
    return _range(wanted, entry.size)


def _precondition_holds(headers: Mapping[str, str], entry: Entry) -> bool:
    if (tags := headers.get("If-Match")) is not None:
        tag = etag(entry)
        return tags.strip() == "*" or (tag is not None and not tag.startswith("W/") and tag in _tags(tags))
    since = _date(headers.get("If-Unmodified-Since"))
    return since is None or entry.modified is None or _whole(entry.modified) <= since


def _not_modified(headers: Mapping[str, str], entry: Entry) -> bool:
    if (tags := headers.get("If-None-Match")) is not None:
        tag = etag(entry)
        weakly = {known.removeprefix("W/") for known in _tags(tags)}
        return tags.strip() == "*" or (tag is not None and tag.removeprefix("W/") in weakly)
    since = _date(headers.get("If-Modified-Since"))
    return since is not None and entry.modified is not None and _whole(entry.modified) <= since


def _if_range_holds(value: str | None, entry: Entry, now: datetime) -> bool:
    """Whether a range of this version is what is asked for; only a strong validator can tell (§13.1.5)."""
    if value is None:
        return True
    if value.strip().endswith('"'):
        return value.strip() == etag(entry) and not value.strip().startswith("W/")
    # a date of whole seconds is strong when no second change can have happened in that second (§8.8.2.2)
    is_strong = entry.modified is not None and now - _whole(entry.modified) >= timedelta(seconds=1)
    return is_strong and value.strip() == last_modified(entry)


def _range(value: str, size: int) -> Selection:
    found = _RANGE.fullmatch(value)
    if not found or (not found[1] and not found[2]):
        return Selection(200, 0, size)  # another unit or several ranges: a server may ignore it (§14.2)
    if not found[1]:
        if int(found[2]) == 0:
            return Selection(416)
        length = min(int(found[2]), size)
        return Selection(206, size - length, length) if length else Selection(200)  # the whole of an empty file
    first, last = int(found[1]), int(found[2] or size - 1)
    if found[2] and last < first:
        return Selection(200, 0, size)  # invalid, so ignored (§14.1.1)
    if first >= size:
        return Selection(416)
    return Selection(206, first, min(last, size - 1) - first + 1)


def _tags(value: str) -> list[str]:
    return _TAG.findall(value)


def _date(value: str | None) -> datetime | None:
    """An HTTP date is in GMT even where it does not say so; what is none counts as not sent (§5.6.7, §13.1.3)."""
    try:
        found = parsedate_to_datetime(value) if value else None
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
