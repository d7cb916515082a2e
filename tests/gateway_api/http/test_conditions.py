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
        ({"Range": "bytes=99999999999999999999-"}, Selection(416)),
        ({"Range": "bytes=-0"}, Selection(416)),
        ({"Range": f"bytes=0-{'9' * 500}"}, Selection(200, 0, 100)),
        ({"If-None-Match": '"v1"'}, Selection(304)),
        ({"If-None-Match": 'W/"v1"'}, Selection(304)),
        ({"If-None-Match": '"x", "v1"'}, Selection(304)),
        ({"If-None-Match": "*"}, Selection(304)),
        ({"If-None-Match": '"x"', "If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT"}, Selection(200, 0, 100)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT"}, Selection(304)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:04 GMT"}, Selection(200, 0, 100)),
        ({"If-Modified-Since": "nonsense"}, Selection(200, 0, 100)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 -0000"}, Selection(304)),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:05"}, Selection(304)),
        ({"If-Modified-Since": "Fri, 99999999999999999999 Jan 2026 03:04:05 GMT"}, Selection(200, 0, 100)),
        ({"If-Unmodified-Since": "Thu, 01 Jan 2026 00:00:00 -0000"}, Selection(412)),
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


def test_head_knows_no_ranges() -> None:
    for wanted in ("bytes=0-1", "bytes=100-"):
        assert select({"Range": wanted}, ENTRY, ranges=False) == Selection(200, 0, 100)


def test_a_suffix_of_an_empty_file_is_all_of_it() -> None:
    assert select({"Range": "bytes=-5"}, Entry("a", size=0)) == Selection(200)
    assert select({"Range": "bytes=0-"}, Entry("a", size=0)) == Selection(416)


def test_the_date_of_a_file_that_was_just_changed_joins_no_ranges() -> None:
    headers = {"Range": "bytes=0-1", "If-Range": "Fri, 02 Jan 2026 03:04:05 GMT"}
    within_the_second, later = (datetime(2026, 1, 2, 3, 4, second, 900, UTC) for second in (5, 6))
    assert select(headers, ENTRY, now=within_the_second) == Selection(200, 0, 100)
    assert select(headers, ENTRY, now=later) == Selection(206, 0, 2)


def test_a_weak_tag_never_joins_two_ranges() -> None:
    assert select({"Range": "bytes=0-1", "If-Range": 'W/"v1"'}, WEAK) == Selection(200, 0, 100)
    assert select({"If-Match": 'W/"v1"'}, WEAK) == Selection(412)


def test_without_a_version_nothing_matches() -> None:
    assert select({"If-Match": '"v1"'}, BARE) == Selection(412)
    assert select({"If-None-Match": '"v1"'}, BARE) == Selection(200, 0, 100)


@pytest.mark.parametrize(
    "path", ['a"; filename="evil', "a\r\nSet-Cookie: x=1", "a%22b", "\udcff", "ü/ä", "n" * 255, "\u202egpj.exe"]
)
def test_no_name_breaks_out_of_the_disposition(path: str) -> None:
    header = disposition(path)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


def test_a_name_cannot_be_read_backwards_nor_hold_a_line_break() -> None:
    assert disposition("d/\u202egpj.exe").endswith("filename*=UTF-8''_gpj.exe")
    assert disposition("a\nb").endswith("filename*=UTF-8''a_b")
    assert disposition("d/grüße.txt").endswith("filename*=UTF-8''gr%C3%BC%C3%9Fe.txt")
