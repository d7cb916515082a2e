"""The rules of the IETF draft: what a sender may say, and what it is answered."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.uploads import ietf
from scigate.gateway_api.uploads.appending import OffsetMismatch
from scigate.gateway_api.uploads.metadata import Wishes
from scigate.gateway_api.uploads.model import Append, Kind, UploadStatus
from scigate.storage_backends.errors import StorageError
from tornado.httputil import HTTPHeaders

TO = Wishes(destination="lab:/a")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def create(size: int | None = 0, query: Wishes = TO, **given: str) -> Any:
    return ietf.creation(HTTPHeaders({name.replace("_", "-"): value for name, value in given.items()}), query, size)


def append(size: int | None = 0, **given: str) -> Append:
    found = {"Content_Type": ietf.MEDIA_TYPE, "Upload_Offset": "5", "Upload_Complete": "?0", **given}
    return ietf.append(HTTPHeaders({name.replace("_", "-"): value for name, value in found.items()}), size)


def refused(status: int, call: Any, *arguments: Any, **given: Any) -> Problem:
    with pytest.raises(Problem) as error:
        call(*arguments, **given)
    assert error.value.status == status, error.value
    return error.value


def test_all_of_a_file_at_once() -> None:
    found = create(7, Upload_Complete="?1", Upload_Length="7")
    assert (found.new.length, found.new.destination, found.new.kind) == (7, "lab:/a", Kind.WHOLE)
    assert found.first == Append(0, 7, 7, True)
    assert create(7, Upload_Complete="?1").new.length == 7  # the body says it
    assert create(None, Upload_Complete="?1").new.length is None


def test_the_first_bytes_or_none() -> None:
    assert create(7, Upload_Complete="?0").first == Append(0, 7, None, False)
    assert create(7, Upload_Complete="?0", Upload_Length="20").new.length == 20
    careful = create(0, Upload_Complete="?0", Upload_Length="20")
    assert (careful.first, careful.new.length) == (None, 20)


def test_an_empty_file() -> None:
    found = create(0, Upload_Complete="?1")
    assert (found.new.length, found.first) == (0, Append(0, 0, 0, True))


@pytest.mark.parametrize("value", ["1", "true", "?2", "?1, ?1", "", "?", "??1"])
def test_completeness_that_is_none_is_no_completeness(value: str) -> None:
    assert ietf.complete({"Upload-Complete": value}) is None
    refused(400, create, Upload_Complete=value)
    refused(400, append, Upload_Complete=value)


def test_structured_fields_may_have_parameters() -> None:
    assert ietf.complete({"Upload-Complete": " ?1;a=b "}) is True
    assert append(Upload_Offset="12; x").offset == 12


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "", "9" * 16, "1, 2", '"5"'])
def test_an_offset_that_is_none_is_missing(value: str) -> None:
    refused(400, append, Upload_Offset=value)
    assert create(Upload_Complete="?0", Upload_Length=value).new.length is None  # ignored, as the draft has it


def test_lengths_that_contradict_each_other() -> None:
    problem = refused(400, create, 7, Upload_Complete="?1", Upload_Length="8")
    assert problem.as_json()["type"] == "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"
    refused(400, append, 7, Upload_Complete="?1", Upload_Length="11")
    assert append(7, Upload_Complete="?1", Upload_Length="12").length == 12
    assert append(7, Upload_Complete="?1").length == 12
    refused(413, create, 9, Upload_Complete="?0", Upload_Length="8")


def test_bytes_have_their_media_type() -> None:
    refused(415, append, Content_Type="application/offset+octet-stream")
    refused(415, append, Content_Encoding="gzip")
    refused(415, create, 3, Upload_Complete="?1", Content_Encoding="gzip")


def test_the_name_of_the_file() -> None:
    folder = Wishes(destination="lab:/in/")
    for value in ('inline; filename="a b.txt"', "inline; filename=x; filename*=UTF-8''a%20b.txt"):
        found = create(0, folder, Upload_Complete="?0", Content_Disposition=value)
        assert found.new.destination in ("lab:/in/a b.txt", "lab:/in/x")
    with pytest.raises(StorageError):
        create(0, folder, Upload_Complete="?0")
    refused(422, create, 0, Wishes(), Upload_Complete="?0")


def test_digests_of_the_whole_and_of_the_request() -> None:
    digest = hashlib.sha256(b"x").digest()
    field = f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert create(1, Upload_Complete="?1", Repr_Digest=field).new.digests == {"sha-256": digest.hex()}
    assert append(1, Content_Digest=field).checksum == ("sha256", digest)
    refused(422, append, 1, Content_Digest="nonsense")
    refused(400, append, 1, Content_Digest="sha-256=:AAAA:")


def test_interim_answers_are_for_our_version_only() -> None:
    assert ietf.wants_interim({"Upload-Draft-Interop-Version": "8"})
    assert not ietf.wants_interim({"Upload-Draft-Interop-Version": "7"})
    assert not ietf.wants_interim({})


def test_what_is_answered() -> None:
    status = UploadStatus("x", Kind.WHOLE, 9, 4, False, NOW + timedelta(hours=1), None, (), 100)
    common = {"Upload-Complete": "?0", "Upload-Offset": "4", "Upload-Limit": "max-size=100, max-age=3600"}
    assert ietf.progress(status, NOW) == common
    assert ietf.description(status, NOW) == {**common, "Upload-Length": "9"}
    done = UploadStatus("x", Kind.WHOLE, 9, 9, True, NOW, None, (), 100)
    assert ietf.progress(done, NOW) == {
        "Upload-Complete": "?1", "Upload-Offset": "9", "Upload-Limit": "max-size=100"
    }  # fmt: skip
    assert ietf.as_problem(OffsetMismatch(status, 7)).as_json().items() >= {
        "type": "https://iana.org/assignments/http-problem-types#mismatching-upload-offset", "status": 409,
        "expected-offset": 4, "provided-offset": 7,
    }.items()  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["Upload-Length", "Upload-Complete", "Upload-Offset", "Content-Type", "Content-Digest",
                         "Repr-Digest", "Content-Disposition", "Content-Encoding"]),
        st.one_of(st.text(max_size=30), st.integers().map(str), st.sampled_from(["?1", "?0", ietf.MEDIA_TYPE, "5"])),
    ),
    st.one_of(st.none(), st.integers(0, 1 << 65)),
)  # fmt: skip
def test_anything_is_understood_or_refused(given: dict[str, str], size: int | None) -> None:
    for call in (lambda: ietf.creation(given, TO, size).first, lambda: ietf.append(given, size)):
        try:
            found = call()
            assert found is None or 0 <= found.offset < 10**15
        except (Problem, StorageError) as error:
            assert not isinstance(error, Problem) or 400 <= error.status < 500
