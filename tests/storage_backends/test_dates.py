"""Whatever a server writes where a time belongs, nothing breaks of it, and no time without a zone gets in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from scigate.gateway_api.events.webhooks_rules import _wish
from scigate.storage_backends.dates import http_date
from scigate.storage_backends.s3_clock import ServerClock
from scigate.storage_backends.s3_errors import retry_after
from scigate.storage_backends.s3_xml import listing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABSURD = [
    "Fri, 31 Dec 9999 23:59:59 -1400",
    f"Mon, 01 Jan 2026 {'9' * 30}:00:00 GMT",
    f"Mon, {'9' * 30} Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +9999",
    "Mon",
    "\0",
    "-",
]
OBJECT = "<Contents><Key>a</Key><Size>1</Size><LastModified>{}</LastModified></Contents>"
LISTING = f"<ListBucketResult>{OBJECT}</ListBucketResult>"


@pytest.mark.parametrize("text", ABSURD)
def test_what_is_no_time_is_none(text: str) -> None:
    assert http_date(text) is None
    clock = ServerClock()
    clock.hear(text)
    assert clock.at_server(NOW) <= NOW
    wish = retry_after(text, NOW)
    assert wish is None or timedelta(0) < wish <= timedelta(hours=1)
    assert 0.0 <= _wish(text, NOW) < 1e6


@pytest.mark.parametrize("text", ["Thu, 01 Jan 2026 00:00:00 -0000", "Thu, 01 Jan 2026 01:00:00 +0100"])
def test_a_time_is_in_utc(text: str) -> None:
    assert http_date(text) == NOW
    assert retry_after(text, NOW - timedelta(seconds=30)) == timedelta(seconds=30)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"])
def test_so_it_is_in_a_listing(text: str) -> None:
    (found,) = listing(LISTING.format(text).encode()).found
    assert found.modified == NOW


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"]
)
def test_one_object_of_a_time_of_no_calendar_does_not_hide_the_others(text: str) -> None:
    (found,) = listing(LISTING.format(text).encode()).found
    assert (found.key, found.modified) == ("a", None)
