"""Which bytes a download gives, decided without I/O."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from scigate.gateway_api.http.conditions import Selection, etag, select
from scigate.gateway_api.http.download import disposition
from scigate.storage_backends.backend import Entry

ENTRY = Entry("a", size=100, version="v1", modified=datetime(2026, 1, 2, 3, 4, 5, 678, UTC))
WEAK = Entry("a", size=100, version='W/"v1"')
BARE = Entry("a", size=100)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1", '"v1"'), ('"v1"', '"v1"'), ('W/"v1"', 'W/"v1"'), (None, None), ("", None)],
)
def test_entity_tags(version: str | None, expected: str | None) -> None:
    found = etag(Entry("a", version=version))
    if version == "":
        assert found is not None
        assert len(found) == 34
    else:
        assert found == expected


@pytest.mark.parametrize("version", ['a"b', "ü", "\udcff", "a b", "x" * 500])
def test_a_version_that_no_tag_can_hold_is_hashed(version: str) -> None:
    tag = etag(Entry("a", version=version))
    assert tag is not None
    assert tag.isascii()
    assert len(tag) == 34


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Selection(200, 0, 100)),
        ({"Range": "bytes=10-19"}, Selection(206, 10, 10)),
        ({"Range": "bytes=90-"}, Selection(206, 90, 10)),
        ({"Range": "bytes=-5"}, Selection(206, 95, 5)),
        ({"Range": "bytes=100-"}, Selection(416)),
        ({"Range": "bytes=0-1,3-4"}, Selection(200, 0, 100)),
        ({"Range": "bytes=99999999999999999999-"}, Selection(200, 0, 100)),
        ({"If-None-Match": '"v1"'}, Selection(304)),
        ({"If-None-Match": 'W/"v1"'}, Selection(304)),
        ({"If-None-Match": '"x", "v1"'}, Selection(304)),
        ({"If-None-Match": "*"}, Selection(304)),
        ({"If-None-Match": '"x"', "If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT"}, Selection(200, 0, 100)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT"}, Selection(304)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:04 GMT"}, Selection(200, 0, 100)),
        ({"If-Modified-Since": "nonsense"}, Selection(200, 0, 100)),
        ({"If-Match": '"x"', "Range": "bytes=0-1"}, Selection(412)),
        ({"If-Match": "*"}, Selection(200, 0, 100)),
        ({"Range": "bytes=0-1", "If-Range": '"v1"'}, Selection(206, 0, 2)),
        ({"Range": "bytes=0-1", "If-Range": '"v2"'}, Selection(200, 0, 100)),
        ({"Range": "bytes=0-1", "If-Range": "Fri, 02 Jan 2026 03:04:05 GMT"}, Selection(206, 0, 2)),
        ({"Range": "bytes=0-1", "If-Range": "Fri, 02 Jan 2026 03:04:06 GMT"}, Selection(200, 0, 100)),
    ],
)
def test_selection(headers: dict[str, str], expected: Selection) -> None:
    assert select(headers, ENTRY) == expected


def test_a_weak_tag_never_joins_two_ranges() -> None:
    assert select({"Range": "bytes=0-1", "If-Range": 'W/"v1"'}, WEAK) == Selection(200, 0, 100)
    assert select({"If-Match": 'W/"v1"'}, WEAK) == Selection(412)


def test_without_a_version_nothing_matches() -> None:
    assert select({"If-Match": '"v1"'}, BARE) == Selection(412)
    assert select({"If-None-Match": '"v1"'}, BARE) == Selection(200, 0, 100)


@pytest.mark.parametrize("path", ['a"; filename="evil', "a\r\nSet-Cookie: x=1", "a%22b", "\udcff", "ü/ä"])
def test_no_name_breaks_out_of_the_disposition(path: str) -> None:
    header = disposition(path)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
