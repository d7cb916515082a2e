"""Transfers over HTTP: submit, repeat, look, steer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.gateway import FEW
from scigate.gateway_api.resources import Submitted, TransferRequest
from scigate.storage_backends.backend import Buffer
from scigate.storage_backends.posix import PosixBackend

from .conftest import Running, finished, problem

TRANSFERS = "/api/v1/transfers"


def body(name: str, **more: object) -> dict[str, object]:
    return {"files": [{"source": f"lab:/{name}", "destination": f"mem:/{name}"}], **more}


def make(gateway: Running, name: str, data: bytes = b"data") -> None:
    path = gateway.folder / "lab" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_transfer_from_submit_to_done(gateway: Running, ada: httpx.Client) -> None:
    make(gateway, "one", b"one")
    answer = ada.post(TRANSFERS, json=body("one", label="first", priority=7))
    assert answer.status_code == 202
    transfer = finished(ada, answer.headers["Location"])
    assert (transfer["state"], transfer["label"], transfer["owner"]) == ("DONE", "first", "ada")
    assert transfer["files"]["done"] == transfer["files"]["total"] == 1
    assert transfer["proof"] in ("A", "B")
    files = ada.get(answer.headers["Location"] + "/files").json()["items"]
    assert [(file["source"], file["state"], file["size"]) for file in files] == [("lab:/one", "DONE", 3)]
    types = [event["type"] for event in ada.get(answer.headers["Location"] + "/events").json()["items"]]
    assert types[0] == "scigate.transfer.submitted"
    assert ada.get("/api/v1/files/mem/one").content == b"one"


def test_a_thousand_parallel_repeats_make_one_transfer(gateway: Running) -> None:
    make(gateway, "many")
    client = gateway.client("bo", limits=httpx.Limits(max_connections=40))

    def submit(_: int) -> tuple[int, str, str | None]:
        answer = client.post(TRANSFERS, json=body("many"), headers={"Idempotency-Key": "same"})
        return answer.status_code, answer.headers.get("Location", ""), answer.headers.get("Idempotent-Replayed")

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(submit, range(1000)))
    assert {(status, location) for status, location, _ in answers} == {(202, answers[0][1])}
    assert sorted(str(replayed) for _, _, replayed in answers) == ["None"] + ["true"] * 999
    assert len(client.get(TRANSFERS).json()["items"]) == 1


def test_what_was_accepted_is_found_again_when_its_deadline_has_passed(ada: httpx.Client) -> None:
    """The answer was lost, and the client asks until it gets one."""
    for patience in (3, 30):  # a machine that stands still for so long is late itself
        deadline, key = time.time() + patience, {"Idempotency-Key": f"late-{patience}"}
        wanted = {**body("late"), "deadline": datetime.fromtimestamp(deadline, UTC).isoformat()}
        first = ada.post(TRANSFERS, json=wanted, headers=key)
        if time.time() < deadline:
            break
    assert first.status_code == 202, first.text
    time.sleep(max(0.0, deadline - time.time()) + 0.1)
    again = ada.post(TRANSFERS, json=wanted, headers=key)
    assert (again.status_code, again.headers["Location"]) == (202, first.headers["Location"])
    problem(ada.post(TRANSFERS, json=wanted, headers={"Idempotency-Key": "new"}), 422, "invalid-transfer")


def test_a_key_belongs_to_one_request_of_one_user(gateway: Running, ada: httpx.Client) -> None:
    key = {"Idempotency-Key": "mine"}
    first = ada.post(TRANSFERS, json=body("k"), headers=key)
    problem(ada.post(TRANSFERS, json=body("other"), headers=key), 422, "idempotency-key-reused")
    theirs = gateway.client("root").post(TRANSFERS, json=body("k"), headers=key)
    assert theirs.headers["Location"] != first.headers["Location"]
    assert "Idempotent-Replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_cannot_be_kept(ada: httpx.Client, key: str) -> None:
    problem(ada.post(TRANSFERS, json=body("k"), headers={"Idempotency-Key": key}), 400, "malformed")


def test_the_repeat_says_so_in_its_body_too(ada: httpx.Client) -> None:
    key = {"Idempotency-Key": "told"}
    told = [ada.post(TRANSFERS, json=body("t"), headers=key).json()["replayed"] for _ in range(2)]
    assert told == [False, True]


def test_what_is_wrong_is_pointed_at(ada: httpx.Client) -> None:
    pairs = [
        ("lab:/a", "mem:/a"),
        ("none:/a", "mem:/b"),
        ("lab:/x/", "mem:/y"),
        ("nonsense", "mem:/c"),
        ("lab:/a", "frozen:/a"),
    ]
    files = [{"source": source, "destination": destination} for source, destination in pairs]
    errors = problem(ada.post(TRANSFERS, json={"files": files}), 422, "invalid-transfer")["errors"]
    assert [error["pointer"] for error in errors] == ["/files/1", "/files/2", "/files/3", "/files/4"]
    assert all(error["message"] for error in errors)
    assert "read-only" in errors[3]["message"]


@pytest.mark.parametrize(
    ("request_body", "pointer"),
    [
        ({}, "/files"),
        ({"files": []}, "/files"),
        ({"files": [{"source": "lab:/a"}]}, "/files/0/destination"),
        ({"files": [{"source": 3, "destination": "mem:/a"}]}, "/files/0/source"),
        ({"files": [{"source": "a", "destination": "b", "sauce": "c"}]}, "/files/0/sauce"),
        (body("a", overwrite="maybe"), "/overwrite"),
        (body("a", priority=99), "/priority"),
        (body("a", priority="high"), "/priority"),
        (body("a", priority=True), "/priority"),
        (body("a", deadline="tomorrow"), "/deadline"),
        (body("a", role="admin"), "/role"),
        (body("a", label="x" * 201), "/label"),
    ],
)
def test_a_body_that_does_not_fit(ada: httpx.Client, request_body: dict[str, object], pointer: str) -> None:
    errors = problem(ada.post(TRANSFERS, json=request_body), 422, "invalid")["errors"]
    assert pointer in [error["pointer"] for error in errors]


@pytest.mark.parametrize(
    "source",
    ["http://127.0.0.1:22/", "http://169.254.169.254/latest/", "http://[::1]/x", "file:///etc/passwd", "gopher://x/y"],
)
def test_urls_go_through_the_egress(ada: httpx.Client, source: str) -> None:
    request = {"files": [{"source": source, "destination": "mem:/x"}]}
    assert problem(ada.post(TRANSFERS, json=request), 422, "invalid-transfer")["errors"][0]["next_step"]


def test_the_web_servers_of_one_request_are_counted(ada: httpx.Client) -> None:
    """Each has to be resolved before the answer, and a million could be named in one request."""
    files = [{"source": f"http://127.0.0.1:{port}/x", "destination": f"mem:/{port}"} for port in range(1, 103)]
    errors = problem(ada.post(TRANSFERS, json={"files": files}), 422, "invalid-transfer")["errors"]
    assert [error["message"] for error in errors if "more than 100 web servers" in error["message"]] != []


def test_lists_are_paged_newest_first(gateway: Running) -> None:
    client = gateway.client("root")
    ids = [client.post(TRANSFERS, json=body(f"p{n}")).json()["transfer"]["id"] for n in range(5)]
    seen: list[str] = []
    following: str | None = f"{TRANSFERS}?limit=2"
    while following:
        answer = client.get(following)
        assert len(answer.json()["items"]) <= 2
        seen += [item["id"] for item in answer.json()["items"]]
        following = answer.links.get("next", {}).get("url")
    assert seen[:5] == ids[::-1]
    assert len(seen) == len(set(seen))


def test_the_files_of_a_folder_are_paged(gateway: Running, ada: httpx.Client) -> None:
    for number in range(7):
        make(gateway, f"folder/{number}", b"x")
    request = {"files": [{"source": "lab:/folder/", "destination": "mem:/folder/"}]}
    location = ada.post(TRANSFERS, json=request).headers["Location"]
    assert finished(ada, location)["files"]["done"] == 7
    first = ada.get(f"{location}/files", params={"limit": 5, "state": "DONE"})
    second = ada.get(first.links["next"]["url"])
    assert [len(page.json()["items"]) for page in (first, second)] == [5, 2]
    events = ada.get(f"{location}/events", params={"limit": 3})
    rest = ada.get(events.links["next"]["url"]).json()["items"]
    assert int(rest[0]["id"]) > int(events.json()["items"][-1]["id"])


def test_pause_resume_and_cancel(gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, free, read = threading.Event(), threading.Event(), PosixBackend._read

    def held(backend: PosixBackend, path: str, *given: Any, **more: Any) -> Iterator[Buffer]:
        if path == "large":  # else it may be there before it is paused
            begun.set()
            assert free.wait(240)
        return read(backend, path, *given, **more)

    monkeypatch.setattr(PosixBackend, "_read", held)
    make(gateway, "large", os.urandom(1 << 20) * 40)
    location = ada.post(TRANSFERS, json=body("large")).headers["Location"]
    assert begun.wait(120)
    paused = ada.post(f"{location}/pause")
    assert paused.status_code == 202
    assert ada.post(f"{location}/resume").status_code == 202
    assert ada.post(f"{location}/cancel").status_code == 202
    free.set()
    assert finished(ada, location)["state"] == "CANCELLED"
    problem(ada.post(f"{location}/pause"), 409, ada.post(f"{location}/pause").json()["code"])
    assert ada.get("/api/v1/files/mem/large").status_code == 404


def test_a_failure_names_its_cause_and_can_be_retried(gateway: Running, ada: httpx.Client) -> None:
    location = ada.post(TRANSFERS, json=body("missing")).headers["Location"]
    transfer = finished(ada, location)
    assert transfer["state"] == "FAILED"
    (file,) = ada.get(f"{location}/files", params={"state": "FAILED"}).json()["items"]
    assert file["cause"]["code"] == "not-found"
    assert file["cause"]["next_step"]
    make(gateway, "missing")
    assert ada.post(f"{location}/retry").status_code == 202
    assert finished(ada, location)["state"] == "DONE"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "after=x", "state=HAPPY", "page=2", "limit=1&limit=2"]
)
def test_a_query_that_does_not_fit(ada: httpx.Client, query: str) -> None:
    answer = ada.get(f"{TRANSFERS}?{query}")
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("id", ["0" * 32, "x", "%2e%2e", "1%3B--", "%00", "%FF"])
def test_ids_that_are_none(gateway: Running, id: str) -> None:
    for path in ("", "/files", "/events"):
        assert gateway.raw("GET", f"{TRANSFERS}/{id}{path}")[0] == 404
    assert gateway.raw("POST", f"{TRANSFERS}/{id}/cancel")[0] == 404


def test_only_what_needs_no_waiting_is_accepted_without_a_thread(gateway: Running) -> None:
    """What this says nothing to is asked again where it may wait, and told by that what is wrong with it."""
    actor = Actor("ada", "ada", roles=frozenset({Role.USER}))

    def begun(*pairs: tuple[str, str], key: str | None = None) -> Submitted | None:
        files = [{"source": source, "destination": destination} for source, destination in pairs]
        request = TransferRequest.model_validate({"files": files})
        cases = gateway.service.gateway
        found = cases.begin_submit(actor, request, key)
        return None if found is None else cases.end_submit(found.result(60))

    gateway.service.gateway.look_at(actor, "lab", "")  # now it is open
    first, again = (begun(("lab:/a", "lab:/began"), key="began") for _ in range(2))
    assert first and again
    assert (first.replayed, again.replayed, first.transfer.id) == (False, True, again.transfer.id)
    assert begun(("http://127.0.0.1/a", "lab:/x")) is None, "the name of its host may have to be resolved"
    assert begun(("lab:/a", "nowhere:/x")) is None
    assert begun(("lab:/a", "frozen:/x")) is None, "refused"
    assert begun(*((f"lab:/{n}", f"lab:/many/{n}") for n in range(FEW + 1))) is None
