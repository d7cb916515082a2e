"""What is accepted, what is refused, and what a refusal says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import TransferRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.submission import Submission, fingerprint
from scigate.gateway_api.transfers.times import KEEPS_TRYING
from scigate.storage_backends.errors import AccessDenied, NotFound, Permanent

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def request(*pairs: tuple[str, str], **options: Any) -> TransferRequest:
    files = [{"source": source, "destination": destination} for source, destination in pairs]
    return TransferRequest.model_validate({"files": files, **options})


def read(*pairs: tuple[str, str], staged: str | None = None, **options: Any) -> Submission:
    def may_read(storage: str) -> None:
        if storage not in ("lab", "out", "readonly"):
            raise NotFound(f"there is no storage {storage!r}")

    def may_write(storage: str) -> None:
        may_read(storage)
        if storage == "readonly":
            raise AccessDenied(f"the storage {storage!r} is read-only")

    def check_url(url: str) -> None:
        if "evil" in url:
            raise Permanent("this address is not reached", next_step="Use another one.")

    return submission.read(
        request(*pairs, **options), may_read=may_read, may_write=may_write, check_url=check_url, now=NOW, staged=staged
    )


def destinations(found: Submission) -> list[str]:
    return [str(pair.destination) for pair in found.pairs]


@pytest.mark.parametrize(
    ("source", "destination", "result"),
    [
        ("lab:/a.bam", "out:/b.bam", "out:/b.bam"),
        ("lab:/run/a.bam", "out:/in/", "out:/in/a.bam"),
        ("lab:/run/a.bam", "out:/", "out:/a.bam"),
        ("lab:/run/", "out:/in/", "out:/in/"),
        ("lab:/", "out:/", "out:/"),
        ("lab:/", "out:/all/", "out:/all/"),
        ("lab:/a", "lab:/b", "lab:/b"),
        ("lab:/run/", "lab:/run2/", "lab:/run2/"),
        ("https://example.org/x/data.h5?key=1", "out:/", "out:/data.h5"),
        ("https://example.org/x/a%20b.h5", "out:/in/", "out:/in/a b.h5"),
        ("lab:/n\udcff", "out:/", "out:/n\udcff"),
    ],
)
def test_where_files_go(source: str, destination: str, result: str) -> None:
    assert destinations(read((source, destination))) == [result]


@pytest.mark.parametrize(
    ("source", "destination", "message", "step"),
    [
        ("nonsense", "out:/x", "'nonsense' is not a location", "storage:/path"),
        ("lab:/a", "out", "'out' is not a location", "storage:/path"),
        ("ftp://h/x", "out:/x", "neither a location nor an http", "http and https"),
        ("lab:/../x", "out:/x", "cannot contain '..'", "another name"),
        ("lab:/a\0b", "out:/x", "NUL", "another name"),
        ("lab:/a", "out:/" + "x" * 4097, "4096 bytes", "another name"),
        ("lab:/run/", "out:/file", "is a folder, but the destination out:/file is not", "End the destination"),
        ("lab:/a", "lab:/a", "source and destination are the same", "another name"),
        ("lab:/run/", "lab:/run/", "the same", "another name"),
        ("lab:/run/", "lab:/run/sub/", "lies inside the source", "another name"),
        ("lab:/", "lab:/sub/", "lies inside the source", "another name"),
        ("lab:/run/a", "lab:/run/", "the same", "another name"),
        ("https://example.org/", "out:/", "does not end in a file name", "Name the file"),
        ("https://example.org/x/%2e%2e", "out:/", "does not end in a file name", "Name the file"),
        ("https://evil.example/x", "out:/x", "this address is not reached", "Use another one."),
        ("nolab:/a", "out:/x", "there is no storage 'nolab'", ""),
        ("staging:/secret", "out:/x", "there is no storage 'staging'", ""),
        ("lab:/a", "readonly:/x", "read-only", ""),
        ("https://example.org/%2fetc%2fpasswd", "out:/", None, ""),
    ],
)
def test_refusals_say_what_is_wrong_and_what_to_do(
    source: str, destination: str, message: str | None, step: str
) -> None:
    if message is None:
        assert destinations(read((source, destination))) == ["out:/passwd"]
        return
    with pytest.raises(Problem) as caught:
        read(("lab:/good", "out:/good"), (source, destination))
    problem = caught.value
    assert (problem.status, problem.code) == (422, "invalid-transfer")
    assert problem.errors is not None
    (error,) = problem.errors
    assert error["pointer"].startswith("/files/1")
    assert message in error["message"]
    assert step in error["next_step"]
    assert message in problem.detail
    assert step in problem.next_step


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Problem) as caught:
        read(("x", "out:/1"), ("lab:/2", "out:/2"), ("lab:/3", "y"))
    assert [error["pointer"] for error in caught.value.errors or ()] == ["/files/0", "/files/2"]


@pytest.mark.parametrize(
    "pairs",
    [
        [("lab:/a", "out:/x"), ("lab:/b", "out:/x")],
        [("lab:/a/f", "out:/"), ("lab:/b/f", "out:/")],
        [("https://example.org/f", "out:/in/f"), ("lab:/b/f", "out:/in/")],
        [("lab:/a", "out:/x"), ("lab:/a", "out:/x")],
    ],
)
def test_two_files_of_one_destination_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem) as caught:
        read(*pairs)
    (error,) = caught.value.errors or ()
    assert error["pointer"] == "/files/1/destination"
    assert "same destination" in error["message"]


def test_the_gateways_own_storage_is_a_source_only_for_the_gateway() -> None:
    assert str(read(("staging:/u1", "out:/x"), staged="staging").pairs[0].source) == "staging:/u1"


def test_the_secrets_of_a_url_stay_out_of_the_answer() -> None:
    with pytest.raises(Problem) as caught:
        read(("https://user:hush@example.org/?token=hush", "out:/"))
    assert "hush" not in str(caught.value.as_json())


def test_deadlines() -> None:
    assert read(("lab:/a", "out:/a")).deadline == NOW + KEEPS_TRYING
    later = NOW + timedelta(hours=1)
    assert read(("lab:/a", "out:/a"), deadline=later).deadline == later
    assert read(("lab:/a", "out:/a"), deadline=later.replace(tzinfo=None)).deadline == later
    with pytest.raises(Problem) as caught:
        read(("lab:/a", "out:/a"), deadline=NOW)
    (error,) = caught.value.errors or ()
    assert error["pointer"] == "/deadline"
    assert "has passed" in error["message"]


def test_the_fingerprint_is_of_the_whole_request_and_nothing_else() -> None:
    base = {"priority": 5, "label": None}
    same = fingerprint(request(("lab:/a", "out:/a"), **base))
    assert fingerprint(request(("lab:/a", "out:/a"))) == same
    others = [
        request(("lab:/a", "out:/b")),
        request(("lab:/b", "out:/a")),
        request(("lab:/a", "out:/a"), ("lab:/b", "out:/b")),
        request(("lab:/a", "out:/a"), priority=6),
        request(("lab:/a", "out:/a"), label="x"),
        request(("lab:/a", "out:/a"), overwrite="newer"),
        request(("lab:/a", "out:/a"), verify="size"),
        request(("lab:/a", "out:/a"), deadline=NOW),
        request(("lab:/a\udcff", "out:/a")),
    ]
    prints = {fingerprint(other) for other in others}
    assert len(prints) == len(others)
    assert same not in prints
