"""Times as servers tell them: in UTC, or None for what no clock shows. Whoever answers may write anything there."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def http_date(value: str | None) -> datetime | None:
    """A date of an HTTP header (RFC 9110 section 5.6.7), which is in GMT even where it does not say so."""
    try:
        return usable(parsedate_to_datetime(value)) if value else None
    except (ValueError, TypeError, OverflowError, IndexError):  # the parser is not made for what strangers write
        return None


def usable(moment: datetime) -> datetime | None:
    """The moment in UTC, if it is of the years 1 to 9999 there, also after it was kept in seconds since 1970."""
    try:
        there = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        datetime.fromtimestamp(there.timestamp(), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return there
