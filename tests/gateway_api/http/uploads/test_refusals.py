"""What uploads refuse, with which status, and that nothing of it stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ..conftest import TOKENS, Running, problem
from .conftest import BYTES, TUS, UPLOADS, Wire, append, create, data, gateway_with, metadata, offset, staged, until

Connect = Callable[[], Wire]
TO = {"Upload-Metadata": metadata(destination="lab:/refused")}


def known(gateway: Running) -> tuple[int, int]:
    """How many uploads and transfers there are, and files on the gateway's disk."""
    root = gateway.client("root")
    return len(root.get(UPLOADS).json()["items"]), len(root.get("/api/v1/transfers").json()["items"])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({**TUS, **TO}, 400, "malformed"),
        ({**TUS, **TO, "Upload-Length": "-1"}, 400, "malformed"),
        ({**TUS, **TO, "Upload-Length": "1.0"}, 400, "malformed"),
        ({**TUS, **TO, "Upload-Length": str(1 << 63)}, 400, "malformed"),
        ({**TUS, **TO, "Upload-Length": str((1 << 63) - 1)}, 413, None),
        ({**TUS, **TO, "Upload-Length": "9", "Upload-Defer-Length": "1"}, 400, "malformed"),
        ({**TO, "Upload-Length": "9"}, 400, "unknown-protocol"),
        ({**TO, "Upload-Length": "9", "Tus-Resumable": "0.2.2"}, 412, "unsupported-version"),
        ({**TUS, "Upload-Length": "9"}, 422, "no-destination"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": "destination !!!"}, 400, "malformed"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": "a YQ==,a YQ=="}, 400, "malformed"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": "a " + "A" * 9000}, 431, "metadata-too-large"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(destination="lab:/../x")}, 422, "invalid-name"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(destination="lab:/")}, 422, "invalid-name"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(destination="none:/x")}, 404, "not-found"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(destination="frozen:/x")}, 403, "read-only"),
        ({**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(destination="staging@0:/x")}, 422, "invalid-name"),
        ({**TUS, **TO, "Upload-Concat": f"final;{UPLOADS}/{'0' * 32}"}, 404, "not-found"),
        ({**TUS, **TO, "Upload-Concat": "final;/etc/passwd"}, 400, "malformed"),
        ({**TUS, **TO, "Upload-Length": "9", "Idempotency-Key": "x" * 300}, 400, "malformed"),
        ({"Upload-Complete": "?1"}, 422, "no-destination"),
        ({"Upload-Complete": "yes"}, 400, "unknown-protocol"),
    ],
)
def test_no_upload_is_created(
    gateway: Running, ada: httpx.Client, headers: dict[str, str], status: int, code: str | None
) -> None:
    before, on_disk = known(gateway), set(staged(gateway))
    answer = ada.post(UPLOADS, headers=headers)
    assert answer.status_code == status, answer.text
    assert code is None or problem(answer, status, code)
    assert "Location" not in answer.headers
    assert known(gateway) == before
    assert set(staged(gateway)) <= on_disk, "what was there may have been tidied away"
    if status == 412:
        assert answer.headers["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**TUS, **TO, "Upload-Length": "9"}, b"x", 415),
        ({**BYTES, **TO, "Upload-Length": "2"}, b"xxx", 413),
        ({**BYTES, **TO, "Upload-Length": "9", "Upload-Checksum": "rot13 AAAA"}, b"xxx", 400),
        ({**BYTES, **TO, "Upload-Length": "9", "Upload-Checksum": "crc32 AAAAAA=="}, b"xxx", 460),
        ({"Upload-Complete": "?1", "Content-Encoding": "gzip"}, b"xxx", 415),
        ({"Upload-Complete": "?1", "Upload-Length": "4"}, b"xxx", 400),
    ],
)
def test_no_upload_is_created_with_such_bytes(
    gateway: Running, ada: httpx.Client, headers: dict[str, str], body: bytes, status: int
) -> None:
    before = set(staged(gateway))
    query = {} if "Upload-Metadata" in headers else {"destination": "lab:/refused"}
    answer = ada.post(UPLOADS, headers=headers, content=body, params=query)
    assert answer.status_code == status, answer.text
    open_ones = [one for one in ada.get(UPLOADS).json()["items"] if one["state"] == "RECEIVING"]
    assert [one for one in open_ones if one["destination"] == "lab:/refused"] == []
    until(lambda: set(staged(gateway)) <= before)  # what was there may have been tidied away


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**BYTES, "Upload-Offset": "0"}, 409),
        ({**BYTES, "Upload-Offset": "5"}, 409),
        ({**BYTES, "Upload-Offset": str((1 << 63) - 1)}, 409),
        ({**BYTES, "Upload-Offset": str(1 << 63)}, 400),
        ({**BYTES, "Upload-Offset": "-4"}, 400),
        ({**BYTES, "Upload-Offset": "4.0"}, 400),
        ({**BYTES, "Upload-Offset": "4,4"}, 400),
        (BYTES, 400),
        ({**TUS, "Upload-Offset": "4"}, 415),
        ({**BYTES, "Upload-Offset": "4", "Tus-Resumable": "9"}, 412),
        ({"Content-Type": "application/offset+octet-stream", "Upload-Offset": "4"}, 412),
        ({"Content-Type": "application/partial-upload", "Upload-Offset": "5", "Upload-Complete": "?0"}, 409),
        ({"Content-Type": "application/partial-upload", "Upload-Offset": "4"}, 400),
        ({"Content-Type": "text/plain", "Upload-Offset": "4", "Upload-Complete": "?0"}, 415),
    ],
)
def test_nothing_is_appended(gateway: Running, ada: httpx.Client, headers: dict[str, str], status: int) -> None:
    url = create(ada, 9, "lab:/lying")
    append(ada, url, 0, b"abcd")
    answer = ada.patch(url, content=b"ef", headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    if status == 409:
        assert answer.headers["Upload-Offset"] == "4"
    assert offset(ada, url) == 4
    ada.delete(url, headers=TUS)


def test_a_body_longer_than_the_upload(ada: httpx.Client, wire: Connect) -> None:
    url = create(ada, 9, "lab:/long")
    problem(append(ada, url, 0, b"0123456789"), 413, "upload-too-long")
    assert offset(ada, url) == 0

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b"0123"

    answer = ada.patch(url, content=chunks(), headers={**BYTES, "Upload-Offset": "0"})  # it is not announced
    assert answer.status_code in (400, 413)
    assert offset(ada, url) <= 9
    ada.delete(url, headers=TUS)


def test_a_length_that_changes(ada: httpx.Client) -> None:
    url = create(ada, 9, "lab:/changes")
    assert append(ada, url, 0, b"x", Upload_Length="8").status_code in (400, 409)
    later = create(ada, None, "lab:/later")
    assert append(ada, later, 0, b"abcd").status_code == 204
    assert append(ada, later, 4, b"", Upload_Length="3").status_code in (400, 409, 413)
    assert offset(ada, later) == 4
    for one in (url, later):
        ada.delete(one, headers=TUS)


def test_a_foreign_upload_is_none(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, 9, "lab:/mine")
    stranger = gateway.client("bo")
    for target in (url, f"{UPLOADS}/{'0' * 32}", f"{UPLOADS}/..", f"{UPLOADS}/x%2Fy"):
        assert stranger.head(target, headers=TUS).status_code == 404
        assert stranger.get(target).status_code == 404
        assert append(stranger, target, 0, b"x").status_code == 404
        assert stranger.delete(target, headers=TUS).status_code == 404
    assert offset(ada, url) == 0
    ada.delete(url, headers=TUS)


def test_parts_of_others_cannot_be_put_together(gateway: Running, ada: httpx.Client) -> None:
    part = create(ada, 3, None, Upload_Concat="partial")
    append(ada, part, 0, b"abc")
    stranger = gateway.client("bo")
    headers = {**TUS, "Upload-Metadata": metadata(destination="lab:/stolen"), "Upload-Concat": f"final;{part}"}
    problem(stranger.post(UPLOADS, headers=headers), 404, "not-found")
    whole = create(ada, 3, "lab:/whole")
    answer = ada.post(UPLOADS, headers={**headers, "Upload-Concat": f"final;{whole}"})
    assert answer.status_code in (404, 409)  # it is no part
    assert not (gateway.folder / "lab" / "stolen").exists()
    for one in (part, whole):
        ada.delete(one, headers=TUS)


def test_a_stranger_is_refused_before_their_body_is_read(gateway: Running, wire: Callable[[str], Wire]) -> None:
    for method, url in (("POST", UPLOADS), ("PATCH", f"{UPLOADS}/{'0' * 32}")):
        client = Wire(gateway.service.port)
        client.head(method, url, Authorization="Bearer wrong", Content_Length="1000000000", **BYTES, **TO)
        assert client.answer()[0] == 401
        assert client.is_closed()


def test_headers_are_judged_before_the_body_is_read(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, 5_000_000_000, "lab:/early")
    client = Wire(gateway.service.port)
    client.patch(url, 7, 4_000_000_000)
    status, headers = client.answer()
    assert (status, headers["upload-offset"]) == (409, "0")
    client = Wire(gateway.service.port)
    client.patch(url, 0, 6_000_000_000)
    assert client.answer()[0] == 413
    ada.delete(url, headers=TUS)


def test_an_expired_upload_is_gone(tmp_path: Path) -> None:
    with gateway_with(tmp_path, '[limits]\nupload_expires = "1s"\nreconcile_seconds = 1\n') as running:
        client = running.client("ada")
        url = create(client, 9, "lab:/late")
        append(client, url, 0, b"abc")
        end = time.monotonic() + 120
        while client.head(url, headers=TUS).status_code == 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert client.head(url, headers=TUS).status_code == 410
        problem(append(client, url, 3, b"def"), 410, "upload-expired")
        assert client.get(url).json()["state"] == "EXPIRED"


def test_no_header_of_a_sender_comes_back_unescaped(ada: httpx.Client) -> None:
    """CRLF in metadata is data: base64 in the header, escaped in JSON."""
    about = metadata(destination="lab:/in/", filename="a\r\nSet-Cookie: x=y\r\n\r\n<script>", label="plain")
    answer = ada.post(UPLOADS, headers={**TUS, "Upload-Length": "3", "Upload-Metadata": about})
    assert answer.status_code == 201, answer.text
    url = answer.headers["Location"]
    told = ada.head(url, headers=TUS)
    assert told.headers["Upload-Metadata"] == about
    assert "Set-Cookie" not in told.headers
    assert ada.get(url).json()["name"].startswith("a\r\nSet-Cookie")
    ada.delete(url, headers=TUS)


def test_tokens_are_in_no_answer(ada: httpx.Client) -> None:
    url = create(ada, 3, "lab:/quiet")
    for answer in (ada.get(url), ada.head(url, headers=TUS), append(ada, url, 7, b"x")):
        assert TOKENS["ada"] not in answer.text + str(answer.headers)
    ada.delete(url, headers=TUS)


def test_random_bytes_as_metadata_never_break_the_gateway(ada: httpx.Client) -> None:
    for size in (1, 10, 100, 1000):
        value = data(size).hex()
        answer = ada.post(UPLOADS, headers={**TUS, "Upload-Length": "1", "Upload-Metadata": value})
        assert answer.status_code in (400, 422), answer.text  # a short key alone is fine, but it says no destination
