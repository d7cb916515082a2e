"""What S3 answers mean, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from scigate.storage_backends import errors
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.s3_control import Part
from scigate.storage_backends.s3_copy import ranges
from scigate.storage_backends.s3_data import vouched
from scigate.storage_backends.s3_draft import placed
from scigate.storage_backends.s3_errors import code_of, error_of, retry_after
from scigate.storage_backends.s3_xml import error_code, listing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", errors.Throttled),
        (503, "", errors.Throttled),
        (429, "", errors.Throttled),
        (400, "RequestTimeout", errors.Unreachable),
        (500, "InternalError", errors.Unreachable),
        (502, "", errors.Unreachable),
        (409, "ConditionalRequestConflict", errors.Unreachable),
        (403, "RequestTimeTooSkewed", errors.Unreachable),
        (401, "", errors.CredentialRefused),
        (403, "InvalidAccessKeyId", errors.CredentialRefused),
        (403, "SignatureDoesNotMatch", errors.CredentialRefused),
        (400, "ExpiredToken", errors.CredentialRefused),
        (403, "AccessDenied", errors.AccessDenied),
        (403, "", errors.AccessDenied),
        (404, "NoSuchKey", errors.NotFound),
        (404, "", errors.NotFound),
        (404, "NoSuchBucket", errors.Misconfigured),
        (301, "PermanentRedirect", errors.Misconfigured),
        (412, "PreconditionFailed", errors.AlreadyExists),
        (400, "EntityTooLarge", errors.TooLarge),
        (413, "", errors.TooLarge),
        (507, "", errors.NoSpace),
        (403, "QuotaExceeded", errors.NoSpace),
        (507, "XMinioStorageFull", errors.NoSpace),
        (400, "BadDigest", errors.DigestMismatch),
        (400, "XAmzContentChecksumMismatch", errors.DigestMismatch),
        (400, "InvalidPart", errors.DigestMismatch),
        (400, "IncompleteBody", errors.Truncated),
        (416, "InvalidRange", errors.Truncated),
        (400, "KeyTooLongError", errors.InvalidName),
        (501, "NotImplemented", errors.Unsupported),
        (400, "NeverHeardOf", errors.Unsupported),
    ],
)
def test_an_answer_becomes_an_error_of_its_kind(status: int, code: str, kind: type[errors.StorageError]) -> None:
    error = error_of(status, code, {}, "some/path")
    assert type(error) is kind
    assert error.path == "some/path"
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("5", timedelta(seconds=5)),
        ("999999", timedelta(hours=1)),
        ("9" * 400, timedelta(hours=1)),
        ("Thu, 01 Jan 2026 00:00:30 GMT", timedelta(seconds=30)),
        ("Thu, 01 Jan 2099 00:00:30 GMT", timedelta(hours=1)),
        ("Thu, 01 Jan 2015 00:00:30 GMT", None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(value: str | None, wish: timedelta | None) -> None:
    assert retry_after(value, NOW) == wish


def test_an_odd_code_of_the_server_is_not_repeated() -> None:
    assert "<script>" not in str(error_of(400, "<script>", {}, None))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<Error>",
        b'<!DOCTYPE x [<!ENTITY a "SlowDown">]><Error><Code>&a;</Code></Error>',
        '<?xml version="1.0" encoding="utf-16"?><Error><Code>SlowDown</Code></Error>'.encode("utf-16"),
        b"<Other><Code>SlowDown</Code></Other>",
    ],
)
def test_what_is_no_error_document_has_no_code(document: bytes) -> None:
    assert error_code(document) == ""


def test_an_error_document_has_its_code_with_and_without_a_namespace() -> None:
    assert error_code(b"<Error><Code>SlowDown</Code></Error>") == "SlowDown"
    assert error_code(b'<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>X</Code></Error>') == "X"


@pytest.mark.parametrize(
    "document",
    [
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        b"<html>login</html>",
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/"><ListBucketResult/>',
    ],
)
def test_a_listing_that_cannot_be_trusted_is_refused(document: bytes) -> None:
    with pytest.raises(errors.Unreachable):
        listing(document)


def test_a_listing_is_decoded_and_in_order() -> None:
    contents = "<Contents><Key>{}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
    document = (
        "<ListBucketResult><EncodingType>url</EncodingType>"
        + contents.format("b%0A%2B+%20c")
        + contents.format("%C3%BC")
        + "<CommonPrefixes><Prefix>a%2F%2F</Prefix></CommonPrefixes></ListBucketResult>"
    )
    page = listing(document.encode())
    assert [item.key for item in page.found] == ["a//", "b\n+  c", "ü"]
    assert page.next is None


def test_only_checksums_of_the_whole_object_are_vouched_for() -> None:
    whole = {"x-amz-checksum-crc64nvme": "rosUhgp5mIg="}
    assert vouched(whole) == {"crc64nvme": "ae8b14860a799888"}
    assert vouched({**whole, "x-amz-checksum-type": "COMPOSITE"}) == {}
    assert vouched({"x-amz-checksum-sha256": "abcd-3"}) == {}


def part(number: int, units: int) -> Part:
    return Part(number, units * MiB, f"etag-{number}")


def test_listed_parts_are_placed_by_their_one_length() -> None:
    found = placed([part(1, 10), part(3, 10), part(4, 5)], 35 * MiB)
    assert {n: (p.offset // MiB, p.length // MiB, p.token) for n, p in found.items()} == {
        0: (0, 10, "etag-1"),
        2: (20, 10, "etag-3"),
        3: (30, 5, "etag-4"),
    }


def test_a_part_that_fits_nowhere_is_left_out() -> None:
    assert set(placed([part(1, 10), part(2, 6), part(3, 10)], 30 * MiB)) == {0, 2}
    assert placed([], 30) == {}


def test_a_part_shorter_than_it_can_be_is_left_out() -> None:
    assert placed([part(1, 0)], 30 * MiB) == {}
    assert placed([part(1, 3)], 30 * MiB) == {}
    assert placed([part(1, 3)], 3 * MiB)[0].length == 3 * MiB  # the only one


def test_a_lone_part_is_placed_only_if_there_is_one_place_for_it() -> None:
    assert placed([part(1, 10)], 35 * MiB)[0].offset == 0
    assert placed([part(2, 10)], 20 * MiB)[1].offset == 10 * MiB
    assert placed([part(3, 10)], 35 * MiB + 1)[2].offset == 20 * MiB
    assert placed([part(3, 6)], 30 * MiB) == {}  # at 12, or the last of blocks of 12 at 24?


@pytest.mark.parametrize("size", [5 * 2**30 + 1, 2**40, 48 * 2**40])
def test_a_copy_is_cut_into_at_most_ten_thousand_ranges(size: int) -> None:
    cut = ranges(size)
    assert len(cut) <= 10_000
    assert cut[0].start == 0
    assert cut[-1].stop == size
    assert all(one.stop == two.start for one, two in pairwise(cut))
    assert all(5 * 2**20 <= len(one) <= 5 * 2**30 for one in cut[:-1])
