"""The rules of tus 1.0.0: what a sender may say, and what it is answered."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import Overwrite
from scigate.gateway_api.uploads import metadata, tus
from scigate.gateway_api.uploads.metadata import Wishes
from scigate.gateway_api.uploads.model import Append, Kind, UploadStatus
from scigate.storage_backends.errors import InvalidName, StorageError
from tornado.httputil import HTTPHeaders

ID = "0123456789abcdef0123456789abcdef"
NOTHING = Wishes()


def said(**pairs: str | bytes) -> str:
    """Upload-Metadata of these pairs."""
    values = {key: value if isinstance(value, bytes) else value.encode() for key, value in pairs.items()}
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())


def headers(**given: str) -> HTTPHeaders:
    found = {"Tus_Resumable": "1.0.0", "Upload_Metadata": said(destination="lab:/a"), **given}
    return HTTPHeaders({name.replace("_", "-"): value for name, value in found.items() if value is not None})


def create(size: int | None = 0, query: Wishes = NOTHING, **given: str) -> Any:
    return tus.creation(headers(**given), query, size, "key")


def refused(status: int, call: Any, *arguments: Any, **given: Any) -> Problem:
    with pytest.raises(Problem) as error:
        call(*arguments, **given)
    assert error.value.status == status, error.value
    assert error.value.next_step
    return error.value


def test_an_upload_is_created() -> None:
    told = said(
        destination="lab:/run7/a.bam", filename="C.bam", overwrite="newer", label="mine", filetype="x/y",
        modified="2026-01-02T03:04:05Z", digest="sha-256=:" + base64.b64encode(bytes(32)).decode() + ":",
    )  # fmt: skip
    found = create(Upload_Length="12", Upload_Metadata=told)
    assert found.first is None
    new = found.new
    assert (new.kind, new.length, new.destination, new.name) == (Kind.WHOLE, 12, "lab:/run7/a.bam", "C.bam")
    assert (new.overwrite, new.label, new.key, new.metadata) == (Overwrite.NEWER, "mine", "key", told)
    assert new.modified == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert new.digests == {"sha-256": "00" * 32}


def test_who_cannot_send_metadata_says_it_in_the_query() -> None:
    query = Wishes(destination="lab:/q", overwrite=Overwrite.OVERWRITE)
    new = tus.creation(HTTPHeaders({"Upload-Length": "1"}), query, 0).new
    assert (new.destination, new.overwrite, new.name, new.metadata) == ("lab:/q", Overwrite.OVERWRITE, "q", None)
    assert create(query=query, Upload_Length="1").new.destination == "lab:/a"  # metadata goes before


@pytest.mark.parametrize(
    ("pairs", "destination"),
    [
        ({"destination": "lab:/in/", "filename": "a.txt"}, "lab:/in/a.txt"),
        ({"destination": "lab:/", "name": "a.txt", "relativePath": "null"}, "lab:/a.txt"),
        ({"destination": "lab:/in/", "name": "a.txt", "relativePath": "run7/x/a.txt"}, "lab:/in/run7/x/a.txt"),
        ({"destination": "lab:/in/", "filename": "up/one/a.txt"}, "lab:/in/a.txt"),
        ({"destination": "lab:/in/b", "filename": "a.txt", "relativePath": "c/d"}, "lab:/in/b"),
        ({"destination": "lab:/in/", "filename": b"\xff\r\n"}, "lab:/in/\udcff\r\n"),
    ],
)
def test_a_folder_keeps_the_name_of_the_file(pairs: dict[str, str], destination: str) -> None:
    assert create(Upload_Length="1", Upload_Metadata=said(**pairs)).new.destination == destination


@pytest.mark.parametrize(
    "pairs",
    [
        {"destination": "lab:/in/"},
        {"destination": "lab:/in/", "filename": ".."},
        {"destination": "lab:/in/", "filename": "a/"},
        {"destination": "lab:/in/", "filename": "a\0b"},
        {"destination": "lab:/in/", "name": "a", "relativePath": "../../etc/passwd"},
        {"destination": "lab:/in/", "name": "a", "relativePath": "/etc/passwd"},
        {"destination": "lab:/../x"},
        {"destination": "/etc/passwd"},
        {"destination": "https://example.org/x"},
        {"destination": "staging@01234567:/x"},
        {"destination": "lab:/" + "x" * 5000},
        {"destination": "lab:/a\0b"},
    ],
)
def test_a_destination_that_is_none(pairs: dict[str, str]) -> None:
    with pytest.raises(InvalidName):
        create(Upload_Length="1", Upload_Metadata=said(**pairs))


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ({}, "destination"),
        ({"destination": "lab:/a", "overwrite": "sure"}, "overwrite"),
        ({"destination": "lab:/a", "label": "a\r\nb"}, "label"),
        ({"destination": "lab:/a", "label": "x" * 201}, "label"),
        ({"destination": "lab:/a", "label": b"\xff"}, "label"),
        ({"destination": "lab:/a", "modified": "yesterday"}, "modified"),
        ({"destination": "lab:/a", "modified": "2026-01-01T00:00:00"}, "modified"),
        ({"destination": "lab:/a", "digest": "sha-256=abc"}, "sha-256"),
        ({"destination": "lab:/a", "digest": "rot13=:AAAA:"}, "sha-256"),
    ],
)
def test_wishes_that_cannot_be_fulfilled(pairs: dict[str, str], named: str) -> None:
    problem = refused(422, create, Upload_Length="1", Upload_Metadata=said(**pairs))
    assert named in problem.detail + problem.next_step


@pytest.mark.parametrize("length", ["-1", "1.5", "1e3", "0x10", " 1", "+1", "", "1,1", "9" * 30, str(1 << 63), "٣"])
def test_a_number_that_is_none(length: str) -> None:
    refused(400, create, Upload_Length=length)
    fields = HTTPHeaders({"Upload-Offset": length, "Content-Type": tus.MEDIA_TYPE})
    refused(400, tus.append, fields, 1)


def test_the_longest_number() -> None:
    assert create(Upload_Length=str((1 << 63) - 1)).new.length == (1 << 63) - 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Upload_Length": "1", "Upload_Defer_Length": "1"},
        {"Upload_Defer_Length": "0"},
        {"Upload_Defer_Length": "2"},
        {"Upload_Length": "1", "Upload_Concat": "partly"},
        {"Upload_Concat": "final;"},
        {"Upload_Concat": "final"},
        {"Upload_Concat": f"partial;/api/v1/uploads/{ID}", "Upload_Length": "1"},
        {"Upload_Concat": f"final;/api/v1/uploads/{ID}", "Upload_Length": "1"},
        {"Upload_Concat": f"final;/api/v1/uploads/{ID}", "Upload_Defer_Length": "1"},
        {"Upload_Concat": "final;/etc/passwd"},
        {"Upload_Concat": f"final;/api/v1/uploads/{ID}/.."},
        {"Upload_Concat": f"final;/api/v1/uploads/{ID}?x"},
        {"Upload_Concat": "final;" + " ".join([f"/api/v1/uploads/{ID}"] * 1001)},
    ],
)
def test_announcements_that_contradict_themselves(given: dict[str, str]) -> None:
    refused(400, create, **given)


def test_the_length_can_come_later() -> None:
    assert create(Upload_Defer_Length="1").new.length is None


@pytest.mark.parametrize("prefix", ["", "https://gateway.example:8470", "https://hub.example/services/scigate", "/hub"])
def test_parts_are_put_together(prefix: str) -> None:
    new = create(Upload_Concat=f"final;{prefix}/api/v1/uploads/{ID} {prefix}/api/v1/uploads/b").new
    assert (new.kind, new.parts, new.length) == (Kind.FINAL, (ID, "b"), None)
    refused(400, create, 5, Upload_Concat=f"final;/api/v1/uploads/{ID}", Content_Type=tus.MEDIA_TYPE)


def test_a_part_needs_no_destination() -> None:
    new = create(Upload_Concat="partial", Upload_Length="5", Upload_Metadata="").new
    assert (new.kind, new.destination) == (Kind.PARTIAL, None)


def test_the_first_bytes_come_at_once() -> None:
    found = create(3, Upload_Length="5", Content_Type=tus.MEDIA_TYPE)
    assert found.first == Append(0, 3)
    refused(415, create, 3, Upload_Length="5")
    refused(413, create, 6, Upload_Length="5", Content_Type=tus.MEDIA_TYPE)


def test_what_is_appended() -> None:
    given = HTTPHeaders({"Upload-Offset": "7", "Content-Type": f"{tus.MEDIA_TYPE}; x=y", "Upload-Length": "9"})
    assert tus.append(given, 2) == Append(7, 2, 9)
    given["Upload-Checksum"] = "crc32 AAAAAA=="
    assert tus.append(given, None).checksum == ("crc32", bytes(4))
    refused(400, tus.append, HTTPHeaders({"Content-Type": tus.MEDIA_TYPE}), 1)
    refused(415, tus.append, HTTPHeaders({"Upload-Offset": "0"}), 1)
    given["Content-Encoding"] = "gzip"
    refused(415, tus.append, given, 2)


@pytest.mark.parametrize(
    "value",
    ["", "sha1", "sha1 ", "sha1 AAAA", "sha1 !!!!", "rot13 AAAA", "SHA1 " + "A" * 27 + "=", "sha256 " + "A" * 4000,
     "crc32 AAAAAA==\x80"],
)  # fmt: skip
def test_a_checksum_that_is_none(value: str) -> None:
    given = HTTPHeaders({"Upload-Offset": "7", "Content-Type": tus.MEDIA_TYPE, "Upload-Checksum": value})
    refused(400, tus.append, given, 1)


@pytest.mark.parametrize("version", ["1.0.1", "0.2.2", "", "1.0.0, 1.0.0", "2"])
def test_another_version(version: str) -> None:
    refused(412, tus.check_version, HTTPHeaders({"Tus-Resumable": version}))
    refused(412, tus.check_version, HTTPHeaders())


@pytest.mark.parametrize(
    "header",
    ["a", "a b", "a Y2=", "a YQ===", "a YQ==,a YQ==", ",", "a YQ==,,b YQ==", "é YQ==", "a\x7f YQ==", "a YQ== YQ==",
     "a Y\r\nQ==", "a %%%%", "k" * 300 + " YQ==", ",".join(f"k{number} " for number in range(70))],
)  # fmt: skip
def test_metadata_that_is_none(header: str) -> None:
    if header == "a":
        assert metadata.read(header) == {"a": ""}  # a key may stand alone
    else:
        refused(400, metadata.read, header)


def test_metadata_is_limited() -> None:
    refused(431, metadata.read, "a " + "A" * metadata.LONGEST)


@given(
    st.dictionaries(st.text("abcXYZ09_-.", min_size=1, max_size=20), st.binary(max_size=50), min_size=1, max_size=20)
)
def test_metadata_comes_back_as_it_was_sent(pairs: dict[str, bytes]) -> None:
    found = metadata.read(said(**pairs))
    assert {key: value.encode("utf-8", "surrogateescape") for key, value in found.items()} == pairs


@given(st.text(max_size=200))
def test_any_metadata_is_read_or_refused(header: str) -> None:
    try:
        assert isinstance(metadata.read(header), dict)
    except Problem as problem:
        assert problem.status == 400


@given(
    st.dictionaries(
        st.sampled_from(
            ["Upload-Length", "Upload-Defer-Length", "Upload-Concat", "Upload-Metadata", "Upload-Checksum",
             "Upload-Offset", "Content-Type"]
        ),
        st.one_of(
            st.text(max_size=30), st.integers().map(str), st.floats().map(str),
            st.sampled_from(["partial", "final;/api/v1/uploads/x", tus.MEDIA_TYPE, said(destination="lab:/a"), "1"]),
        ),
    ),
    st.one_of(st.none(), st.integers(0, 1 << 65)),
)  # fmt: skip
def test_anything_else_is_a_problem_too(given: dict[str, str], size: int | None) -> None:
    """Whatever is sent: it is understood within bounds, or refused with a 4xx that says what to do."""
    try:
        found = tus.creation(given, NOTHING, size)
        assert found.new.length is None or 0 <= found.new.length < 1 << 63
        assert (found.new.destination is None) == (found.new.kind is Kind.PARTIAL)
    except (Problem, StorageError) as error:
        assert error.next_step
        assert not isinstance(error, Problem) or 400 <= error.status < 500
    try:
        assert 0 <= tus.append(given, size).offset < 1 << 63
    except Problem as problem:
        assert problem.status in (400, 415)


def status(**given: Any) -> UploadStatus:
    found = {"id": ID, "kind": Kind.WHOLE, "length": 9, "offset": 4, "complete": False, "metadata": None, "parts": (),
             "expires": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "largest": 100}  # fmt: skip
    return UploadStatus(**{**found, **given})


def test_what_is_answered() -> None:
    url = "/api/v1/uploads/{}".format
    assert tus.description(status(metadata="a YQ=="), url) == {
        "Upload-Offset": "4", "Upload-Length": "9", "Upload-Metadata": "a YQ==",
        "Upload-Expires": "Fri, 02 Jan 2026 03:04:05 GMT",
    }  # fmt: skip
    assert tus.description(status(length=None, expires=None), url) == {"Upload-Offset": "4", "Upload-Defer-Length": "1"}
    assert tus.description(status(kind=Kind.PARTIAL), url)["Upload-Concat"] == "partial"
    final = status(kind=Kind.FINAL, parts=("a", "b"), complete=True, offset=9)
    assert tus.description(final, url) == {
        "Upload-Offset": "9", "Upload-Length": "9", "Upload-Concat": "final;/api/v1/uploads/a /api/v1/uploads/b"
    }  # fmt: skip
    assert "Upload-Offset" not in tus.description(status(kind=Kind.FINAL, parts=("a",)), url)


def test_what_is_offered() -> None:
    assert tus.discovery(5) == {
        "Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0", "Tus-Max-Size": "5",
        "Tus-Extension": "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,"
                         "concatenation",
        "Tus-Checksum-Algorithm": "sha1,sha256,sha512,md5,crc32,crc64nvme",
    }  # fmt: skip
