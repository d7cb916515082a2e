"""Times at the ends of the calendar: they are times, so nothing may break of them, now or when they are read again."""

from __future__ import annotations

import base64
import json

import pytest

from .conftest import Running, finished

V1 = "/api/v1"
LAST = "9999-12-31T23:59:59.999999Z"
BEYOND = "9999-12-31T23:59:59-14:00"  # in UTC it is in the year 10000
BEFORE = "0001-01-01T00:00:00+14:00"  # in UTC there is no such year


NEVER = "9999-12-31T23:59:59Z"


def test_a_deadline_at_the_end_of_all_times_can_be_read_again(gateway: Running) -> None:
    ada = gateway.client("ada")
    (gateway.folder / "lab" / "a").write_bytes(b"a")
    body = {"files": [{"source": "lab:/a", "destination": "mem:/a"}], "deadline": NEVER}
    made = ada.post(f"{V1}/transfers", json=body)
    assert made.json()["transfer"]["deadline"] == NEVER
    assert ada.get(f"{V1}/transfers").status_code == 200
    assert ada.get(made.headers["Location"]).status_code == 200


@pytest.mark.parametrize(
    "times",
    [{"deadline": LAST}, {"deadline": BEYOND}, {"deadline": BEFORE}, {"not_before": NEVER}, {"not_before": BEYOND}],
)
def test_times_that_are_over_or_never_come_are_refused_in_words(gateway: Running, times: dict[str, str]) -> None:
    ada = gateway.client("ada")
    line = {"source": "lab:/a", "destination": "mem:/a"}
    bulk = {"content": json.dumps(line) + "\n", "headers": {"Content-Type": "application/x-ndjson"}}
    for answer in (
        ada.post(f"{V1}/transfers", json={"files": [line], **times}),
        ada.post(f"{V1}/transfers/bulk", params=times, **bulk),
        ada.put(f"{V1}/files/mem/x", params=times, content=b"x"),
    ):
        assert answer.status_code == 422, answer.text
        assert "deadline" in answer.text or "not_before" in answer.text


def _described(**said: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


@pytest.mark.parametrize("deadline", [NEVER, "2500-01-01T00:00:00Z"])
def test_no_upload_keeps_its_room_for_ever(gateway: Running, deadline: str) -> None:
    ada = gateway.client("ada")
    described = {"destination": "mem:/x", "deadline": deadline}
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": _described(**described)}
    files = [{"path": "x", "size": 1}]
    for answer in (
        ada.post(f"{V1}/uploads", headers=tus),
        ada.post(f"{V1}/manifests", json={"destination": "mem:/f/", "files": files, "deadline": deadline}),
        ada.put(f"{V1}/files/mem/x", params={"deadline": deadline}, content=b"x"),
    ):
        assert answer.status_code == 422, answer.text
        assert "more than 31 days from now" in answer.text


@pytest.mark.parametrize("modified", ["0001-01-01T00:00:00Z", NEVER, "1969-12-31T23:59:59.5Z"])
def test_a_file_may_be_as_old_as_the_calendar(gateway: Running, modified: str) -> None:
    ada = gateway.client("ada")
    for storage in ("mem", "lab"):
        answer = ada.put(
            f"{V1}/files/{storage}/old", params={"modified": modified, "overwrite": "overwrite"}, content=b"x"
        )
        assert finished(ada, answer.headers["Location"])["state"] == "DONE"
        assert ada.get(f"{V1}/files/{storage}/").status_code == 200
        assert ada.get(f"{V1}/files/{storage}/old").content == b"x"
        assert ada.get(f"{V1}/files/{storage}/", params={"archive": "zip"}).status_code == 200


@pytest.mark.parametrize("modified", [LAST, BEYOND, BEFORE])
def test_no_file_was_changed_at_such_a_time(gateway: Running, modified: str) -> None:
    ada = gateway.client("ada")
    described = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in {"destination": "mem:/x", "modified": modified}.items()
    )
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": described}
    files = [{"path": "x", "size": 1, "modified": modified}]
    for answer in (
        ada.post(f"{V1}/uploads", headers=tus),
        ada.post(f"{V1}/manifests", json={"destination": "mem:/f/", "files": files}),
        ada.put(f"{V1}/files/mem/x", params={"modified": modified}, content=b"x"),
    ):
        assert answer.status_code == 422, answer.text
        assert "of the years 1 to 9999" in answer.text
