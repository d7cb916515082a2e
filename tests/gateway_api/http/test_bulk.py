"""Transfers of very many files: a line of JSON for each."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from scigate.gateway_api.db.schema import manifest
from scigate.gateway_api.transfers.walker import Walks
from scigate.storage_backends.errors import Permanent
from sqlalchemy import delete, func, select

from .conftest import TOKENS, Running, finished, problem

BULK = "/api/v1/transfers/bulk"
LINES = {"Content-Type": "application/x-ndjson"}
COUNT = 2500  # more than the engine lists in one commit


def line(source: str, destination: str) -> bytes:
    return json.dumps({"source": source, "destination": destination}).encode() + b"\n"


def is_forgotten(gateway: Running, pieces: int = 0) -> bool:
    """Whether no piece of a manifest is kept (or so many), or soon none."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with gateway.service._database.read() as connection:
            if connection.execute(select(func.count()).select_from(manifest)).scalar_one() == pieces:
                return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def folder(gateway: Running) -> str:
    path = gateway.folder / "lab" / "bulk"
    path.mkdir()
    for number in range(COUNT):
        (path / f"{number}").write_bytes(b"%d" % number)
    return "lab:/bulk"


def test_every_line_becomes_a_file(gateway: Running, ada: httpx.Client, folder: str) -> None:
    def body() -> Iterator[bytes]:
        for number in range(COUNT):
            yield line(f"{folder}/{number}", f"mem:/bulk/{number}")

    answer = ada.post(BULK, params={"label": "all", "priority": "7"}, content=body(), headers=LINES)
    assert answer.status_code == 202, answer.text
    assert answer.json()["transfer"]["listing"] is True
    transfer = finished(ada, answer.headers["Location"])
    assert (transfer["state"], transfer["label"], transfer["priority"]) == ("DONE", "all", 7)
    assert transfer["files"]["done"] == transfer["files"]["total"] == COUNT
    assert ada.get("/api/v1/files/mem/bulk/2499").content == b"2499"
    assert is_forgotten(gateway), "what is listed is not kept twice"


def test_a_key_accepts_a_manifest_once(gateway: Running, ada: httpx.Client, folder: str) -> None:
    headers, body = {**LINES, "Idempotency-Key": "bulk"}, line(f"{folder}/1", "mem:/once")
    first = ada.post(BULK, content=body, headers=headers)
    again = ada.post(BULK, content=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["Location"] == again.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(ada.post(BULK, content=line(f"{folder}/2", "mem:/once"), headers=headers), 422, "idempotency-key-reused")
    finished(ada, first.headers["Location"])
    assert is_forgotten(gateway)


def test_what_was_accepted_is_found_again_when_its_deadline_has_passed(
    gateway: Running, ada: httpx.Client, folder: str
) -> None:
    """The answer was lost, and the client asks until it gets one."""
    body = line(f"{folder}/1", "mem:/late")
    for patience in (3, 30):  # a machine that stands still for so long is late itself
        deadline = time.time() + patience
        wishes = {"deadline": datetime.fromtimestamp(deadline, UTC).isoformat()}
        headers = {**LINES, "Idempotency-Key": f"late-{patience}"}
        first = ada.post(BULK, params=wishes, content=body, headers=headers)
        if time.time() < deadline:
            break
    assert first.status_code == 202, first.text
    time.sleep(max(0.0, deadline - time.time()) + 0.1)
    again = ada.post(BULK, params=wishes, content=body, headers=headers)
    assert (again.status_code, again.headers.get("Location")) == (202, first.headers["Location"])
    assert again.headers["Idempotent-Replayed"] == "true"
    new = {**headers, "Idempotency-Key": "new"}
    problem(ada.post(BULK, params=wishes, content=body, headers=new), 422, "invalid-transfer")
    assert is_forgotten(gateway)


def test_who_hangs_up_while_it_is_accepted_takes_no_line_away(
    gateway: Running, ada: httpx.Client, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended, submit = threading.Event(), threading.Event(), gateway.service.gateway.submit_manifest

    def watched(*given: Any) -> Any:
        begun.set()
        try:
            return submit(*given)
        finally:
            ended.set()

    monkeypatch.setattr(gateway.service.gateway, "submit_manifest", watched)
    headers, body = {**LINES, "Idempotency-Key": "hung-up"}, line(f"{folder}/1", "mem:/hung-up")
    own = {**headers, "Authorization": f"Bearer {TOKENS['ada']}", "Transfer-Encoding": "chunked"}
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.service.port, timeout=60)) as connection:
        connection.putrequest("POST", BULK)
        for name, value in own.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(b"%x\r\n%s\r\n" % (len(body), body))
        assert is_forgotten(gateway, pieces=1), "the line was never kept"
        database = gateway.folder / "state" / "scigate.db"
        with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")  # nothing is accepted meanwhile
            connection.send(b"0\r\n\r\n")
            assert begun.wait(120)
            connection.close()
            time.sleep(0.5)
    assert ended.wait(120)
    again = ada.post(BULK, content=body, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert finished(ada, again.headers["Location"])["files"]["done"] == 1
    assert is_forgotten(gateway)


@pytest.mark.parametrize("kept", [True, False])
def test_a_manifest_that_could_not_be_listed_is_retried_whole_or_stays_failed(
    gateway: Running, ada: httpx.Client, folder: str, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    def refuse(*_: object) -> None:
        raise Permanent("not now")

    with monkeypatch.context() as patched:
        patched.setattr(Walks, "_entries", refuse)
        answer = ada.post(BULK, content=line(f"{folder}/1", f"mem:/retried-{kept}"), headers=LINES)
        transfer = finished(ada, answer.headers["Location"])
    assert (transfer["state"], transfer["files"]["total"]) == ("FAILED", 1)
    shown = ada.get(f"{answer.headers['Location']}/files")
    assert shown.status_code == 200, shown.text
    if not kept:
        gateway.service._database.write(lambda connection: connection.execute(delete(manifest)))
    assert ada.post(f"{answer.headers['Location']}/retry").status_code == 202
    transfer = finished(ada, answer.headers["Location"])
    assert (transfer["state"], transfer["files"]["done"]) == (("DONE", 1) if kept else ("FAILED", 0))
    assert is_forgotten(gateway)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (b"{", "not a line of JSON"),
        (line("lab:/x", "no-such:/x"), "no-such"),
        (line("lab:/folder/", "mem:/folder/"), "a manifest names files"),
        (line("lab:/../x", "mem:/x"), "'..'"),
        (b'{"source": "lab:/x"}', "destination: it is missing"),
        (b'"' + b"x" * 70_000, "longer than"),
        (b'{"source": "lab:/x", "source": "lab:/y", "destination": "mem:/x"}', "same key twice"),
        (b'{"source": NaN, "destination": "mem:/x"}', "NaN is not JSON"),
        (b'{"source": "lab:/\xff", "destination": "mem:/x"}', "not UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
        (line("lab:/x", "mem:/" + "x" * 70_000), "longer than"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_kept(
    gateway: Running, ada: httpx.Client, wrong: bytes, said: str
) -> None:
    before = len(ada.get("/api/v1/transfers").json()["items"])
    answer = ada.post(BULK, content=line("lab:/a", "mem:/a") + wrong, headers=LINES)
    detail = problem(answer, 422, "invalid-transfer")["detail"]
    assert said in detail
    assert len(ada.get("/api/v1/transfers").json()["items"]) == before
    assert is_forgotten(gateway)


def test_it_has_files_and_is_lines(ada: httpx.Client) -> None:
    body = problem(ada.post(BULK, content=b"\n\n", headers=LINES), 422, "invalid-transfer")
    assert body["detail"] == "there is no file in it"
    problem(ada.post(BULK, json={}), 415, "unsupported-media-type")


def test_a_line_says_what_to_do_with_it(ada: httpx.Client) -> None:
    body = problem(ada.post(BULK, content=line("lab:/x", "no-such:/x"), headers=LINES), 422, "invalid-transfer")
    assert body["next_step"] == body["errors"][0]["next_step"]
    assert "scigate ls" in body["next_step"]


def test_two_lines_for_one_destination_leave_a_failed_file(ada: httpx.Client, folder: str) -> None:
    body = line(f"{folder}/1", "mem:/twin") + line(f"{folder}/2", "mem:/twin") + line(f"{folder}/1", "mem:/twin")
    transfer = finished(ada, ada.post(BULK, content=body, headers=LINES).headers["Location"])
    assert (transfer["state"], transfer["files"]["done"], transfer["files"]["failed"]) == ("FAILED", 1, 1)
    assert transfer["cause"]["code"] == "same-destination"
