"""Every mistake a client can make gets a whole problem, and the gateway goes on."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from scigate.gateway_api.problems import cause_of, from_storage
from scigate.storage_backends.errors import (
    CredentialRefused,
    NoSpace,
    StorageError,
    Throttled,
    Unreachable,
)

from .conftest import TOKENS, Running, problem

TRANSFERS = "/api/v1/transfers"
JSON = {"Content-Type": "application/json"}


def test_unknown_paths(ada: httpx.Client) -> None:
    for path in ("/", "/api", "/api/v1", "/api/v1/", "/api/v2/storages", "/api/v1/storages/", "/favicon.ico"):
        problem(ada.get(path), 404, "not-found")


def test_methods_that_a_path_does_not_have(ada: httpx.Client) -> None:
    answer = ada.delete(TRANSFERS)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    for method in ("PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        problem(ada.request(method, TRANSFERS), 405, "method-not-allowed")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1,]", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"\xff\xfe{}", b"[" * 100_000,
     b'{"priority": ' + b"9" * 5000 + b"}", "{}".encode("utf-16")],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_a_body_that_is_not_json(ada: httpx.Client, body: bytes) -> None:
    problem(ada.post(TRANSFERS, content=body, headers=JSON), 400, "malformed")


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"text"', b'{"files": {"a": 1}}', b'{"files": [[]]}'])
def test_json_that_is_something_else(ada: httpx.Client, body: bytes) -> None:
    problem(ada.post(TRANSFERS, content=body, headers=JSON), 422, "invalid")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Its body is empty, and JSON is needed."),
        (b"{", "Its body is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        (b"[]", "it has to be a JSON object"),
        (b"{}", "/files: it is missing"),
        (b'{"files": []}', "/files: it should have at least 1 item"),
        (b'{"files": 3}', "/files: it should be a list"),
        (b'{"files": [{"source": 3, "destination": "mem:/x"}]}', "/files/0/source: it should be text"),
        (b'{"files": [{"source": "mem:/a", "destination": "mem:/x"}], "priority": "high"}',
         "/priority: it should be a whole number"),
        (b'{"files": [{"source": "mem:/a", "destination": "mem:/x"}], "deadline": "soon"}',
         "/deadline: it should be a time, such as 2026-05-01T10:00:00Z"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_of_people(ada: httpx.Client, body: bytes, said: str) -> None:
    assert ada.post(TRANSFERS, content=body, headers=JSON).json()["detail"] == said


def test_what_is_wrong_with_parameters_is_said_in_the_same_words(ada: httpx.Client) -> None:
    answer = ada.get("/api/v1/files/mem/", params={"archive": "tar", "limit": "3"})
    assert problem(answer, 422, "invalid")["detail"] == "with 'archive' there can be no limit"
    wrong = ada.get("/api/v1/files/mem/", params={"recursive": "perhaps"})
    assert problem(wrong, 422, "invalid")["detail"] == "recursive: it should be true or false"
    late = ada.put("/api/v1/files/mem/x", params={"deadline": "2099-05-01T10:00:00"}, content=b"")
    said = "deadline: it should be a time with its zone, such as 2026-05-01T10:00:00Z"
    assert problem(late, 422, "invalid")["detail"] == said


def test_of_two_files_for_one_destination_it_is_said_what_to_do(ada: httpx.Client) -> None:
    pairs = [{"source": f"lab:/{name}", "destination": "mem:/one"} for name in "ab"]
    body = problem(ada.post(TRANSFERS, json={"files": pairs}), 422, "invalid-transfer")
    assert body["next_step"] == "Name another destination for one of them."


@pytest.mark.parametrize(("what", "command"), [("storage", "ls"), ("transfer", "transfers"), ("upload", "uploads"),
                                               ("webhook", "webhooks")])  # fmt: skip
def test_what_is_not_there_is_listed_by_a_command(ada: httpx.Client, what: str, command: str) -> None:
    body = problem(ada.get(f"/api/v1/{what}s/none"), 404, "not-found")
    assert body["next_step"] == f"'scigate {command}' and GET /api/v1/{what}s show those that you can see."


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_a_body_that_says_it_is_something_else(ada: httpx.Client, kind: str) -> None:
    problem(ada.post(TRANSFERS, content=b"{}", headers={"Content-Type": kind}), 415, "unsupported-media-type")


def test_json_with_a_charset_is_json(ada: httpx.Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    problem(ada.post(TRANSFERS, content=b"{}", headers=headers), 422, "invalid")


def test_a_body_that_is_too_large_is_refused_before_it_comes(gateway: Running) -> None:
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=60)
    head = f"POST {TRANSFERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['ada']}\r\n"
    client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n".encode())
    answer = b"".join(iter(lambda: client.recv(4096), b""))
    client.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_a_chunked_body_that_is_too_large_is_cut_off(gateway: Running, ada: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * (1 << 20)

    try:
        answer = ada.post(TRANSFERS, content=endless(), headers=JSON)
        problem(answer, 413, "body-too-large")
    except httpx.TransportError:
        pass  # the answer was lost behind what was still being sent
    assert gateway.client("ada").get(TRANSFERS).status_code == 200


def test_a_body_where_none_belongs_is_not_kept(ada: httpx.Client) -> None:
    assert ada.request("GET", TRANSFERS, content=b"x" * 1000).status_code == 200
    problem(ada.request("GET", TRANSFERS, content=b"x" * 2_000_000), 413, "body-too-large")


@pytest.mark.parametrize(
    "request_bytes",
    [b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\nX\r\n\r\n"],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_what_is_not_http_ends_its_connection_only(gateway: Running, request_bytes: bytes) -> None:
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=60)
    client.sendall(request_bytes)
    answer = b""
    try:
        while piece := client.recv(4096):
            answer += piece
            if b" 4" in answer[:13]:
                break
    except ConnectionError:
        pass
    client.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert gateway.client("ada").get("/healthz").text == "ok\n"


@pytest.mark.parametrize(
    ("error", "status", "retriable"),
    [
        (Unreachable("the storage does not answer"), 503, True),
        (Throttled("slow down"), 503, True),
        (NoSpace("full"), 507, True),
        (CredentialRefused("expired"), 502, False),
    ],
)
def test_a_failing_storage(
    gateway: Running,
    ada: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    error: StorageError,
    status: int,
    retriable: bool,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    storages = gateway.service._storages
    monkeypatch.setattr(storages, "get", fail)
    body = problem(ada.get("/api/v1/files/mem/x"), status, error.code)
    assert body["retriable"] is retriable


def test_a_bug_is_logged_with_a_number_and_not_shown(
    gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail of the inside")

    monkeypatch.setattr(gateway.service.gateway, "list_transfers", fail)
    with caplog.at_level(logging.ERROR):
        answer = ada.get(TRANSFERS)
    body = problem(answer, 500, "internal-error")
    assert "secret detail" not in answer.text
    number = body["detail"].rpartition("error ")[2].rstrip(".")
    assert len(number) == 16
    assert number in caplog.text
    assert "secret detail" in caplog.text


def test_no_token_reaches_a_log(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        gateway.client("ada").get(TRANSFERS, params={"token": TOKENS["ada"]})
        gateway.client("ada").get(TRANSFERS, params={"limit": 5})
        end = time.monotonic() + 120  # the line may be written after the answer
        while time.monotonic() < end and not any(_is_access(record) for record in caplog.records):
            time.sleep(0.01)
    ours = [record for record in caplog.records if record.name.startswith("scigate")]
    assert any(_is_access(record) for record in ours)
    assert not any(TOKENS["ada"] in str(vars(record)) or "?" in record.getMessage() for record in ours)


def _is_access(record: logging.LogRecord) -> bool:
    return record.name == "scigate.access" and "/api/v1/transfers 200" in record.getMessage()


def test_headers_on_every_answer(gateway: Running, ada: httpx.Client) -> None:
    for answer in (ada.get("/docs"), ada.get(TRANSFERS), ada.get("/nope"), gateway.client(None).get(TRANSFERS)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


def test_slow_requests_do_not_keep_others_waiting(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    opened = gateway.service._storages.get("mem")
    monkeypatch.setattr(gateway.service.gateway, "look_at", lambda *_, **__: release.wait(60) and opened and None)
    slow = [threading.Thread(target=gateway.client("ada").get, args=("/api/v1/files/mem/x?meta=1",)) for _ in range(20)]
    for thread in slow:
        thread.start()
    try:
        assert gateway.client("bo").get(TRANSFERS).status_code == 200
        assert any(thread.is_alive() for thread in slow)
    finally:
        release.set()
        for thread in slow:
            thread.join()


def test_metrics_have_bounded_labels(gateway: Running) -> None:
    admin = gateway.client("root")
    for number in range(30):
        admin.get(f"/api/v1/files/mem/{number}")
        admin.request(f"M{number}", f"/x{number}")
    text = admin.get("/metrics").text
    requests = [line for line in text.splitlines() if line.startswith("scigate_http_requests_total")]
    assert 'route="/api/v1/files/{storage}/{path}"' in text
    assert 'scigate_files{state="done"}' in text
    assert not any("/x1" in line or "M1" in line for line in requests)
    assert len([line for line in requests if 'method="other"' in line]) <= 2


def test_ready_and_healthy(gateway: Running) -> None:
    client = gateway.client(None)
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"


def test_not_ready_without_its_engine(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.service._engine, "is_alive", lambda: False)
    client = gateway.client(None)
    assert problem(client.get("/readyz"), 503, "not-ready")["retriable"]
    assert client.get("/healthz").text == "ok\n"
    status = gateway.client("ada").get("/api/v1/status").json()
    assert status["ok"] is False
    assert json.dumps(status).count('"ok": false') == 2


def test_nobody_is_told_that_a_request_is_tried_again_by_itself() -> None:
    error = Unreachable("no connection")
    assert "by itself" in cause_of(error).next_step
    assert from_storage(error).next_step.startswith("Try again")
    assert from_storage(NoSpace("full")).next_step == NoSpace.next_step
