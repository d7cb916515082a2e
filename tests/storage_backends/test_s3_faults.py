"""What servers do when they are busy, broken or lying: a shim does it to chosen requests before a real server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from scigate.storage_backends.backend import Entry
from scigate.storage_backends.digests import digest
from scigate.storage_backends.errors import (
    AlreadyExists,
    DigestMismatch,
    NoSpace,
    SourceChanged,
    StorageError,
    Throttled,
    Truncated,
    Unreachable,
)
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.s3_data import in_base64
from scigate.storage_backends.testing.servers import S3Server

Body = Callable[[str], bytes]


@pytest.fixture
def backend(seaweedfs: S3Server, open_s3: Callable[..., S3Backend], s3_shim: Any) -> S3Backend:
    return open_s3(seaweedfs, endpoint=s3_shim.endpoint)


def content(backend: S3Backend, path: str, *range_: Any, **about: Any) -> bytes:
    return b"".join(bytes(buffer) for buffer in backend.read(path, *range_, **about))


def test_slow_down_is_throttled_with_the_wish_of_the_server(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    s3_shim.fault("PUT", status=503, body=s3_error("SlowDown"), headers={"Retry-After": "7"})
    with pytest.raises(Throttled) as error:
        backend.put("x", b"data")
    assert error.value.retry_after == timedelta(seconds=7)
    assert error.value.untouched
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=50), usegmt=True)
    s3_shim.fault("GET", status=429, headers={"Retry-After": later})
    with pytest.raises(Throttled) as error:
        content(backend, "x")
    assert error.value.retry_after is not None
    assert timedelta(minutes=40) < error.value.retry_after <= timedelta(minutes=50)


def test_slow_down_on_the_control_plane_is_throttled_too(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    backend.draft("first", 1, key="k").discard()
    s3_shim.fault("POST", "uploads", status=503, body=s3_error("SlowDown"), headers={"Retry-After": "9"}, times=2)
    with pytest.raises(Throttled) as error:
        backend.draft("x", 1, key="k")
    assert error.value.retry_after == timedelta(seconds=9)
    assert error.value.untouched


def test_a_draft_whose_mark_was_refused_is_taken_back(
    backend: S3Backend, seaweedfs: S3Server, s3_shim: Any, s3_error: Body
) -> None:
    backend.draft("first", 1, key="k").discard()
    s3_shim.fault("PUT", "partNumber", status=503, body=s3_error("SlowDown"))
    with pytest.raises(Throttled) as error:
        backend.draft("x", 1, key="k")
    assert error.value.untouched
    assert "Uploads" not in seaweedfs.client().list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=backend._key("x"))


def test_a_refusal_that_may_have_left_something_does_not_say_that_it_did_not(
    backend: S3Backend, s3_shim: Any, s3_error: Body
) -> None:
    backend.put("warm", b"data", if_absent=True)  # what it can do is asked by now
    backend.draft("warm", 1, key="k").discard()
    s3_shim.fault("PUT", status=503)  # of whoever stands between
    with pytest.raises(Throttled) as error:
        backend.put("x", b"data")
    assert not error.value.untouched
    s3_shim.fault("PUT", "partNumber", status=503, body=s3_error("SlowDown"))
    s3_shim.fault("DELETE", "uploadId", status=500, body=s3_error("InternalError"), times=2)
    with pytest.raises(Throttled) as error:
        backend.draft("x", 1, key="k")  # the upload has been begun, was to be marked, and cannot be removed either
    assert not error.value.untouched
    draft = backend.draft("empty", 0, key="k")
    s3_shim.fault("PUT", status=503, body=s3_error("SlowDown"))
    with pytest.raises(Throttled) as error:
        draft.publish([], if_absent=False, digests={})
    assert not error.value.untouched


def test_a_message_of_the_server_is_not_passed_on(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    for code in ("AccessDenied", "SignatureDoesNotMatch", "NeverHeardOf"):
        s3_shim.fault("PUT", status=403, body=s3_error(code))
        with pytest.raises(StorageError) as error:
            backend.put("x", b"data")
        assert "SECRET-IN-MESSAGE" not in f"{error.value}{error.value.__cause__}"
        assert error.value.path == "x"


def test_a_full_storage_is_no_space(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    s3_shim.fault("PUT", status=507, body=s3_error("XMinioStorageFull"))
    with pytest.raises(NoSpace):
        backend.put("x", b"data")


def test_an_error_inside_a_200_to_a_put_is_an_error(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    s3_shim.fault("PUT", status=200, body=s3_error("InternalError"), headers={"ETag": '"abc"'})
    with pytest.raises(Unreachable, match="InternalError"):
        backend.put("x", b"data")


def test_an_upload_whose_beginning_was_not_heard_of_is_not_begun_twice(
    backend: S3Backend, seaweedfs: S3Server, s3_shim: Any, s3_error: Body
) -> None:
    backend.draft("first", 1, key="k").discard()
    begun = datetime.now(UTC)
    s3_shim.fault("POST", "uploads", status=500, body=s3_error("InternalError"), forwarded=True)
    with pytest.raises(Unreachable):
        backend.draft("lost", 1, key="k")
    key = backend._key("lost")
    client = seaweedfs.client()
    assert len(client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=key)["Uploads"]) == 1
    backend.abandon("lost", key="k", ref=None, since=begun)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=key)


@pytest.mark.parametrize("feature", ["leftovers", "lenient"])
def test_a_probe_whose_beginning_was_not_heard_of_leaves_nothing_once_it_is_repeated(
    backend: S3Backend, seaweedfs: S3Server, s3_shim: Any, s3_error: Body, feature: str
) -> None:
    s3_shim.fault("POST", "uploads", status=500, body=s3_error("InternalError"), forwarded=True)
    with pytest.raises(Unreachable):
        getattr(backend._features, feature)
    client, prefix = seaweedfs.client(), backend._key("")
    assert len(client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=prefix)["Uploads"]) == 1
    getattr(backend._features, feature)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=prefix)


def test_what_a_dead_gateway_left_of_a_rare_probe_goes_with_what_is_left_of_its_drafts(
    backend: S3Backend, seaweedfs: S3Server
) -> None:
    client, key = seaweedfs.client(), backend._key(".scigate-probe-lenient")
    client.create_multipart_upload(Bucket=seaweedfs.bucket, Key=key)
    backend.abandon("first", key="k", ref=None, since=datetime.now(UTC))
    assert "Uploads" not in client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=key)


def test_an_etag_is_a_digest_of_a_block_only_where_the_mark_has_its_md5(backend: S3Backend, s3_shim: Any) -> None:
    block = b"x" * 1000
    plain = backend.draft("plain", len(block), key="k")
    plain.write(0, 0, len(block), [block])
    assert plain.parts()[0].digests == {"md5": hashlib.md5(block).hexdigest()}
    s3_shim.fault("PUT", "partNumber=10000", status=200, headers={"ETag": f'"{"0" * 32}"'})
    encrypted = backend.draft("encrypted", len(block), key="k")
    encrypted.write(0, 0, len(block), [block])
    assert encrypted.parts()[0].digests == {}


def copy(backend: S3Backend, source: str, to: str, *, key: str = "k", if_absent: bool = False) -> Entry:
    assert backend.extras.copy is not None
    return backend.extras.copy(source, to, version=None, if_absent=if_absent, key=key, progress=lambda _: None)


@pytest.mark.parametrize("blanks", [b"", b" \n \n"])
def test_an_error_inside_a_200_to_a_copy_is_an_error(
    backend: S3Backend, s3_shim: Any, s3_error: Body, blanks: bytes
) -> None:
    backend.put("from", b"data")
    s3_shim.fault("PUT", "/to", status=200, body=blanks + s3_error("InternalError"))
    with pytest.raises(Unreachable, match="InternalError"):
        copy(backend, "from", "to")


@pytest.mark.parametrize("document", [b"", b"<html/>", b"<CopyObjectResult></CopyObjectResult>"])
def test_an_answer_that_does_not_say_that_the_copy_was_made_is_an_error(
    backend: S3Backend, s3_shim: Any, document: bytes
) -> None:
    backend.put("from", b"data")
    s3_shim.fault("PUT", "/to", status=200, body=document)
    with pytest.raises(Unreachable, match="has made the copy"):
        copy(backend, "from", "to")


def test_a_copy_is_throttled_with_the_wish_of_the_server(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    backend.put("from", b"data")
    s3_shim.fault("PUT", "/to", status=503, body=s3_error("SlowDown"), headers={"Retry-After": "7"})
    with pytest.raises(Throttled) as error:
        copy(backend, "from", "to")
    assert error.value.retry_after == timedelta(seconds=7)
    assert error.value.untouched


def test_a_copy_whose_answer_was_lost_is_found_out(backend: S3Backend, s3_shim: Any) -> None:
    backend.put("from", b"data")
    backend.probe()
    s3_shim.fault("PUT", "/to", forwarded=True, dropped=True)
    assert copy(backend, "from", "to", key="mine", if_absent=True).identity == "mine"
    with pytest.raises(AlreadyExists):
        copy(backend, "from", "to", key="other", if_absent=True)


def test_a_put_whose_answer_was_lost_is_found_out(backend: S3Backend, s3_shim: Any) -> None:
    backend.probe()
    s3_shim.fault("PUT", forwarded=True, dropped=True)
    entry = backend.put("x", b"data", if_absent=True, key="mine")
    assert entry.identity == "mine"
    with pytest.raises(AlreadyExists):
        backend.put("x", b"data", if_absent=True, key="other")


def test_an_answer_without_a_body_says_why_by_a_second_question(
    backend: S3Backend, s3_shim: Any, s3_error: Body
) -> None:
    s3_shim.fault("HEAD", status=400)
    s3_shim.fault("GET", status=400, body=s3_error("ExpiredToken"))
    with pytest.raises(StorageError, match="token has expired"):
        backend.stat("x")


def test_our_clock_is_corrected_by_the_server(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    server = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    s3_shim.fault("PUT", status=403, body=s3_error("RequestTimeTooSkewed"), headers={"Date": server})
    with pytest.raises(Unreachable, match="clocks"):
        backend.put("x", b"data")
    assert 7100 < backend._clock.skew < 7300


RANGES = [
    ({"Content-Range": "bytes 1-4/10"}, b"1234", Unreachable),  # another range
    ({"Content-Range": "bytes 2-4/10"}, b"234", Truncated),  # a shorter one
    ({"Content-Range": "bytes 2-5/10"}, b"234", Unreachable),  # not what it says
    ({"Content-Range": "nonsense"}, b"2345", Unreachable),
    ({}, b"2345", Unreachable),
]


@pytest.mark.parametrize(("headers", "body", "kind"), RANGES)
def test_a_wrong_range_is_never_passed_on(
    backend: S3Backend, s3_shim: Any, headers: dict[str, str], body: bytes, kind: type[StorageError]
) -> None:
    backend.put("x", b"0123456789")
    s3_shim.fault("GET", status=206, headers=headers, body=body)
    with pytest.raises(kind):
        content(backend, "x", 2, 4)


def test_a_whole_answer_to_a_range_is_cut_exactly(backend: S3Backend, s3_shim: Any) -> None:
    backend.put("x", b"0123456789")
    for range_, expected in (((2, 4), b"2345"), ((2,), b"23456789"), ((0, 10), b"0123456789"), ((9, 1), b"9")):
        s3_shim.fault("GET", status=200, body=b"0123456789")
        assert content(backend, "x", *range_) == expected
    s3_shim.fault("GET", status=200, body=b"0123456789")
    with pytest.raises(Truncated):
        content(backend, "x", 8, 3)


def test_a_server_that_ignores_the_condition_is_found_out_by_its_etag(backend: S3Backend, s3_shim: Any) -> None:
    version = backend.put("x", b"0123456789").version
    s3_shim.fault("GET", status=200, body=b"9876543210", headers={"ETag": '"another"'})
    with pytest.raises(SourceChanged):
        content(backend, "x", version=version)


def test_of_bytes_with_another_checksum_the_last_ones_are_not_given_out(backend: S3Backend, s3_shim: Any) -> None:
    body, another = b"x" * (1 << 20), in_base64(digest("crc64nvme", [b"another"]))
    s3_shim.fault("GET", status=200, body=body, headers={"x-amz-checksum-crc64nvme": another})
    given = 0
    with pytest.raises(DigestMismatch):
        for buffer in backend.read("x"):
            given += len(buffer)
    assert 0 < given < len(body)


def test_a_listing_that_does_not_say_where_it_goes_on_is_an_error(backend: S3Backend, s3_shim: Any) -> None:
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    s3_shim.fault("GET", "list-type", status=200, body=page)
    with pytest.raises(Unreachable, match="cut its listing off"):
        list(backend.scan())


def test_a_listing_of_something_else_is_an_error(backend: S3Backend, s3_shim: Any) -> None:
    page = (
        b"<ListBucketResult><Contents><Key>foreign</Key><Size>1</Size>"
        b"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>"
    )
    s3_shim.fault("GET", "list-type", status=200, body=page)
    with pytest.raises(Unreachable, match="not asked for"):
        list(backend.scan())


def test_a_refused_upload_is_not_sent_again_by_itself(backend: S3Backend, s3_shim: Any, s3_error: Body) -> None:
    draft = backend.draft("x", 4, key="k")
    before = len(s3_shim.seen)
    s3_shim.fault("PUT", "partNumber=1&", status=500, body=s3_error("InternalError"))
    with pytest.raises(Unreachable):
        draft.write(0, 0, 4, [b"data"])
    assert len(s3_shim.seen) == before + 1
    draft.write(0, 0, 4, [b"data"])
