"""Uploads: checked while they come, on disk before they are acknowledged, delivered by a transfer."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from awscrt import checksums
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.uploads import store
from scigate.gateway_api.wiring import build

from .conftest import TOKENS, Running, finished, problem, write_settings

FILES = "/api/v1/files"
DATA = os.urandom(300_000)


def staged(gateway: Running) -> list[Path]:
    return list((gateway.folder / "state" / "staging").iterdir())


def sha256(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def crc64(data: bytes) -> str:
    return f"crc64nvme=:{base64.b64encode(checksums.crc64nvme(data).to_bytes(8, 'big')).decode()}:"


def chunks(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_an_upload_is_accepted_delivered_and_tidied_away(gateway: Running, ada: httpx.Client) -> None:
    answer = ada.put(f"{FILES}/lab/up/file.bin", content=DATA, headers={"Repr-Digest": sha256(DATA)})
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["Location"] == f"/api/v1/transfers/{body['transfer']['id']}"
    assert body["replayed"] is False
    assert "Idempotent-Replayed" not in answer.headers
    transfer = finished(ada, answer.headers["Location"])
    assert (transfer["state"], transfer["bytes_done"]) == ("DONE", len(DATA))
    assert (gateway.folder / "lab" / "up" / "file.bin").read_bytes() == DATA
    assert_tidied(gateway)


def test_a_body_in_a_coding_is_not_stored_as_if_it_were_the_file(ada: httpx.Client) -> None:
    answer = ada.put(f"{FILES}/lab/coded", content=gzip.compress(DATA), headers={"Content-Encoding": "gzip"})
    problem(answer, 415, "unsupported-media-type")


def test_a_body_that_ends_with_its_connection_is_not_stored_as_an_empty_file(gateway: Running) -> None:
    """HTTP/1.0 has no chunks, and of a request nobody can tell such an end from a cut (RFC 1945 section 8.3)."""
    with socket.create_connection(("127.0.0.1", gateway.service.port), timeout=60) as connection:
        head = f"PUT {FILES}/lab/endless HTTP/1.0\r\nAuthorization: Bearer {TOKENS['ada']}\r\n\r\n"
        connection.sendall(head.encode() + DATA[:1000])
        assert connection.makefile("rb").readline().split()[1] == b"411"


def assert_tidied(gateway: Running) -> None:
    """What has reached its storage, also of other tests, is not kept."""

    def is_empty() -> bool:
        gateway.service.gateway.uploads.sweep()
        return staged(gateway) == []

    until(is_empty)


@pytest.mark.parametrize(
    "digest",
    [sha256(DATA), crc64(DATA), f"{crc64(DATA)}, {sha256(DATA)}, new-one=:AAAA:"],
    ids=["sha-256", "crc64nvme", "several"],
)
def test_promised_digests_are_checked(ada: httpx.Client, digest: str) -> None:
    headers = {"Repr-Digest": digest}
    assert ada.put(f"{FILES}/mem/right", content=DATA, headers=headers, params={"overwrite": "overwrite"}).is_success
    answer = ada.put(f"{FILES}/mem/wrong", content=b"x" + DATA[1:], headers=headers)
    assert "digest" in problem(answer, 422, "digest-mismatch")["next_step"]


@pytest.mark.parametrize("digest", ["sha-256=abc", "sha-256=:***:", "new-one=:AAAA:", "", "sha-256"])
def test_a_promise_that_cannot_be_kept_is_refused_before_the_body(
    gateway: Running, ada: httpx.Client, digest: str
) -> None:
    before = set(staged(gateway))
    problem(ada.put(f"{FILES}/mem/x", content=DATA, headers={"Repr-Digest": digest}), 422, "invalid-digest")
    assert set(staged(gateway)) <= before, "what was there may have reached its storage"


def test_a_chunked_upload(gateway: Running, ada: httpx.Client) -> None:
    answer = ada.put(f"{FILES}/lab/chunked", content=chunks(DATA))
    assert finished(ada, answer.headers["Location"])["state"] == "DONE"
    assert (gateway.folder / "lab" / "chunked").read_bytes() == DATA


def test_an_empty_upload(gateway: Running, ada: httpx.Client) -> None:
    answer = ada.put(f"{FILES}/lab/empty", content=b"")
    assert finished(ada, answer.headers["Location"])["state"] == "DONE"
    assert (gateway.folder / "lab" / "empty").read_bytes() == b""


def test_a_name_that_is_not_utf8(gateway: Running, ada: httpx.Client) -> None:
    status, headers, _ = gateway.raw("PUT", f"{FILES}/lab/odd%FFname", b"data")
    assert status == 202
    assert finished(ada, headers["location"])["state"] == "DONE"
    assert (gateway.folder / "lab" / "odd\udcffname").read_bytes() == b"data"


def test_the_same_key_uploads_once(gateway: Running, ada: httpx.Client) -> None:
    def put(data: bytes) -> httpx.Response:
        return ada.put(f"{FILES}/lab/once", content=data, headers={"Idempotency-Key": "upload-once"})

    first = put(DATA)
    finished(ada, first.headers["Location"])
    again = put(DATA)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.headers["Location"] == first.headers["Location"]
    problem(put(b"something else"), 422, "idempotency-key-reused")
    assert_tidied(gateway)


def test_an_upload_that_failed_is_kept_for_a_while(
    gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_tidied(gateway)
    (gateway.folder / "lab" / "taken").write_bytes(b"there")
    failed = ada.put(f"{FILES}/lab/taken", content=DATA)
    assert finished(ada, failed.headers["Location"])["state"] == "FAILED"
    gateway.service.gateway.uploads.sweep()
    assert len(staged(gateway)) == 1
    monkeypatch.setattr(store, "KEPT_AFTER_FAILURE", timedelta(0))
    gateway.service.gateway.uploads.sweep()
    assert staged(gateway) == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("lab/", 422),
        ("lab/folder/", 422),
        ("lab/%2e%2e/x", 422),
        ("none/x", 404),
        ("frozen/x", 403),
        ("staging/x", 404),
    ],
)
def test_where_nothing_can_be_put(gateway: Running, target: str, status: int) -> None:
    before = set(staged(gateway))
    found, headers, _ = gateway.raw("PUT", f"{FILES}/{target}", b"data")
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert set(staged(gateway)) <= before


def test_a_stranger_is_refused_before_their_body_is_read(gateway: Running) -> None:
    before = set(staged(gateway))
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=60)
    head = f"PUT {FILES}/lab/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    client.sendall(head.encode())
    assert client.makefile("rb").readline().startswith(b"HTTP/1.1 401")
    client.close()
    assert set(staged(gateway)) <= before


def test_a_client_that_breaks_off_leaves_nothing(gateway: Running) -> None:
    before, used = set(staged(gateway)), gateway.service._uploads.staging.used()
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=60)
    head = f"PUT {FILES}/lab/broken HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['ada']}\r\n"
    client.sendall(f"{head}Content-Length: 10000000\r\n\r\n".encode() + b"x" * 5_000_000)
    until(lambda: set(staged(gateway)) - before)
    client.close()
    until(lambda: not set(staged(gateway)) - before)
    until(lambda: gateway.service._uploads.staging.used() <= used)
    assert not (gateway.folder / "lab" / "broken").exists()


def until(condition: object, seconds: float = 120) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_part_of_a_file_is_refused(ada: httpx.Client) -> None:
    answer = ada.put(f"{FILES}/lab/x", content=b"abc", headers={"Content-Range": "bytes 0-2/9"})
    problem(answer, 400, "malformed")


def test_the_quota_holds_announced_or_not(tmp_path: Path) -> None:
    service = build(Settings.load(write_settings(tmp_path, '[limits]\nstaging_quota = "100 KiB"\n')))
    service.start()
    try:
        running = Running(service, tmp_path)
        with running.client("ada") as client:
            announced = client.put(f"{FILES}/lab/x", content=DATA)
            assert "limits.staging_quota" in problem(announced, 413, "too-large")["detail"]
            status, headers, _ = running.raw("PUT", f"{FILES}/lab/x", None, {"Content-Length": "99999999999999"})
            assert (status, headers["content-type"]) == (413, "application/problem+json")
            assert client.put(f"{FILES}/lab/fits", content=DATA[:50_000]).status_code == 202
        assert service._uploads.staging.used() <= 100 << 10
    finally:
        service.stop()


def test_a_folder_that_is_larger_than_the_quota_goes_through_it(tmp_path: Path) -> None:
    service = build(Settings.load(write_settings(tmp_path, '[limits]\nstaging_quota = "100 KiB"\n')))
    service.start()
    try:
        with Running(service, tmp_path).client("ada") as client:
            for number in range(4):
                while (answer := client.put(f"{FILES}/lab/{number}", content=DATA[:60_000])).status_code != 202:
                    assert problem(answer, 503, "staging-full")["retriable"]
                    assert answer.headers["Retry-After"] == "2"
                finished(client, answer.headers["Location"])
    finally:
        service.stop()
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == ["0", "1", "2", "3"]


def test_a_chunked_upload_over_the_quota_is_cut_off(tmp_path: Path) -> None:
    service = build(Settings.load(write_settings(tmp_path, '[limits]\nstaging_quota = "1 MiB"\n')))
    service.start()
    try:
        with Running(service, tmp_path).client("ada") as client:
            try:
                answer = client.put(f"{FILES}/lab/x", content=chunks(os.urandom(1 << 20) * 40, 1 << 20))
                problem(answer, 413, "too-large")
            except httpx.TransportError:
                pass  # the answer was lost behind what was still being sent
        until(lambda: service._uploads.staging.used() == 0)
        assert list((tmp_path / "state" / "staging").iterdir()) == []
        assert not (tmp_path / "lab" / "x").exists()
    finally:
        service.stop()
