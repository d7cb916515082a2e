"""What a server can do is asked once; what a bad day answers is not taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.testing.servers import S3Server

from .conftest import Shim

Open = Callable[..., S3Backend]
COMPLETE = "uploadId="


@pytest.fixture
def shim(rclone_s3: S3Server) -> Iterator[Shim]:
    """Before rclone, which looks at no checksum."""
    made = Shim(rclone_s3)
    yield made
    made.close()


@pytest.fixture
def features(shim: Shim, rclone_s3: S3Server, open_s3: Open) -> Any:
    return open_s3(rclone_s3, endpoint=shim.endpoint)._features


def test_a_server_that_looks_at_no_checksum_is_found_out(features: Any) -> None:
    assert features.lenient


def test_an_answer_that_always_gets_lost_hides_nothing(features: Any, shim: Shim, s3_error: Any) -> None:
    """The wrong upload was completed, and is not there any more when that is asked again."""
    shim.fault("POST", COMPLETE, status=500, body=s3_error("InternalError"), forwarded=True, times=1)
    assert features.lenient


@pytest.mark.parametrize("feature", ["lenient", "leftovers"])
def test_uploads_that_another_gateway_clears_away_say_nothing(
    features: Any, shim: Shim, s3_error: Any, feature: str
) -> None:
    right = {"lenient": True, "leftovers": features.leftovers}[feature]
    features._known.clear()
    shim.fault("POST", COMPLETE, status=404, body=s3_error("NoSuchUpload"), times=3)
    assert not getattr(features, feature), "unknown counts as missing"
    assert getattr(features, feature) is right


def test_a_part_that_was_damaged_on_its_way_is_no_sign_of_encryption(features: Any, shim: Shim) -> None:
    shim.fault("PUT", "partNumber=1&", status=200, headers={"ETag": f'"{"0" * 32}"'})
    assert features.lenient


def test_a_server_that_always_says_so_is_asked_a_few_times_only(features: Any, shim: Shim, s3_error: Any) -> None:
    shim.fault("POST", COMPLETE, status=404, body=s3_error("NoSuchUpload"), times=1000)
    for _ in range(5):
        assert not features.lenient
    shim.seen.clear()
    assert not features.lenient
    assert shim.seen == []


def test_a_server_that_copies_over_what_is_there_is_found_out(features: Any) -> None:
    assert not features.conditional_copy


def test_a_server_that_refuses_to_copy_over_what_is_there_is_known(
    seaweedfs: S3Server, open_s3: Open, s3_shim: Shim, s3_error: Any
) -> None:
    backend = open_s3(seaweedfs, endpoint=s3_shim.endpoint)
    s3_shim.fault("PUT", "probe-copy", status=500, body=s3_error("InternalError"))
    assert not backend._features.conditional_copy, "unknown counts as missing"
    assert backend._features.conditional_copy
    assert list(backend.scan()) == []


def test_a_tiny_file_is_copied_and_compared_with_three_requests(
    seaweedfs: S3Server, open_s3: Open, s3_shim: Shim
) -> None:
    backend = open_s3(seaweedfs, endpoint=s3_shim.endpoint)
    backend.put("from", b"data")
    copy = backend.extras.copy_and_read
    assert copy is not None
    for name in ("first", "second"):
        s3_shim.seen.clear()
        copy("from", name, version=None, if_absent=True, key="k")
    asked = [(seen.split()[0], seen.rpartition("/")[2]) for seen in s3_shim.seen]
    assert asked == [("GET", "from"), ("PUT", "second"), ("GET", "second")]
