"""Resumable Uploads for HTTP (the IETF draft) on sockets: no released client speaks this version of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import httpx
import pytest

from ..conftest import Running, finished, problem
from .conftest import UPLOADS, Wire, data, done, until

DATA = data(5_000_000)
PARTIAL = {"Content-Type": "application/partial-upload"}
Connect = Callable[[], Wire]


def patch(client: httpx.Client, url: str, offset: int, body: bytes, complete: str, **headers: str) -> httpx.Response:
    given = {**PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": complete}
    return client.patch(url, content=body, headers={**given, **{k.replace("_", "-"): v for k, v in headers.items()}})


def careful(client: httpx.Client, destination: str, **headers: str) -> str:
    given = {"Upload-Complete": "?0", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = client.post(UPLOADS, headers=given, params={"destination": destination})
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?0"), answer.text
    return answer.headers["Location"]


def test_all_at_once(gateway: Running, ada: httpx.Client) -> None:
    answer = ada.post(UPLOADS, content=DATA, headers={"Upload-Complete": "?1"}, params={"destination": "lab:/once"})
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1"), answer.text
    assert answer.json()["id"] in answer.headers["Location"]
    done(ada, answer.headers["Location"])
    assert (gateway.folder / "lab" / "once").read_bytes() == DATA


def test_in_pieces(gateway: Running, ada: httpx.Client) -> None:
    url = careful(ada, "lab:/in/", Content_Disposition="inline; filename*=UTF-8''m%C3%BCll.bin")
    for start in (0, 2_000_000):
        answer = patch(ada, url, start, DATA[start : start + 2_000_000], "?0")
        assert (answer.status_code, answer.headers["Upload-Complete"]) == (204, "?0")
    told = ada.head(url)
    assert (told.status_code, told.headers["Upload-Offset"], told.headers["Upload-Complete"]) == (204, "4000000", "?0")
    assert "max-size=" in told.headers["Upload-Limit"]
    assert "max-age=" in told.headers["Upload-Limit"]
    assert "Upload-Length" not in told.headers
    last = patch(ada, url, 4_000_000, DATA[4_000_000:], "?1")
    assert (last.status_code, last.headers["Upload-Complete"], last.json()["size"]) == (200, "?1", len(DATA))
    done(ada, url)
    assert (gateway.folder / "lab" / "in" / "müll.bin").read_bytes() == DATA
    assert ada.head(url).headers["Upload-Complete"] == "?1"


def test_the_end_may_come_without_bytes(gateway: Running, ada: httpx.Client) -> None:
    url = careful(ada, "lab:/end")
    assert patch(ada, url, 0, b"abc", "?0").status_code == 204
    assert patch(ada, url, 3, b"", "?1").headers["Upload-Complete"] == "?1"
    done(ada, url)
    assert (gateway.folder / "lab" / "end").read_bytes() == b"abc"


def test_an_empty_file(gateway: Running, ada: httpx.Client) -> None:
    answer = ada.post(UPLOADS, headers={"Upload-Complete": "?1"}, params={"destination": "lab:/nothing"})
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1"), answer.text
    done(ada, answer.headers["Location"])
    assert (gateway.folder / "lab" / "nothing").read_bytes() == b""


def test_an_interim_answer_saves_an_upload_that_is_cut(gateway: Running, ada: httpx.Client, wire: Connect) -> None:
    connection = wire()
    connection.head("POST", f"{UPLOADS}?destination=lab:/interim", Upload_Complete="?1", Content_Length=str(len(DATA)),
                    Upload_Draft_Interop_Version="8")  # fmt: skip
    status, headers = connection.answer()
    assert (status, headers["upload-draft-interop-version"]) == (104, "8")
    assert "max-size=" in headers["upload-limit"]
    connection.send(DATA[:4_500_000])
    url = headers["location"]
    until(lambda: ada.get(url).json()["arrived"]["bytes"] > 0)
    connection.close()
    until(lambda: ada.get(url).json()["arrived"]["bytes"] == 4_500_000)  # asking for the offset ends the connection
    told = ada.head(url).headers
    assert (told["Upload-Offset"], told["Upload-Length"]) == ("4500000", str(len(DATA)))
    assert patch(ada, url, 4_500_000, DATA[4_500_000:], "?1").status_code == 200
    done(ada, url)
    assert (gateway.folder / "lab" / "interim").read_bytes() == DATA


@pytest.mark.parametrize("version", ["7", None])
def test_no_interim_answer_for_another_version(wire: Connect, version: str | None) -> None:
    connection = wire()
    told = {} if version is None else {"Upload-Draft-Interop-Version": version}
    destination = f"{UPLOADS}?destination=lab:/quiet&overwrite=overwrite"
    connection.head("POST", destination, Upload_Complete="?1", Content_Length="3", **told)
    connection.send(b"abc")
    assert connection.answer()[0] == 201


def test_continue_comes_after_the_interim_answer(wire: Connect) -> None:
    connection = wire()
    connection.head("POST", f"{UPLOADS}?destination=lab:/continue", Upload_Complete="?1", Content_Length="3",
                    Upload_Draft_Interop_Version="8", Expect="100-continue")  # fmt: skip
    assert connection.answer()[0] == 104
    assert connection.answer()[0] == 100
    connection.send(b"abc")
    assert connection.answer()[0] == 201


def test_a_wrong_offset_is_told_as_the_draft_has_it(ada: httpx.Client) -> None:
    url = careful(ada, "lab:/offset")
    patch(ada, url, 0, b"abc", "?0")
    answer = patch(ada, url, 7, b"def", "?0")
    body = problem(answer, 409, "mismatching-upload-offset")
    assert body["type"] == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    assert (body["expected-offset"], body["provided-offset"]) == (3, 7)
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Complete"]) == ("3", "?0")
    ada.delete(url)


def test_lengths_that_contradict_each_other(ada: httpx.Client) -> None:
    url = careful(ada, "lab:/lengths", Upload_Length="9")
    answer = patch(ada, url, 0, b"abc", "?1")  # the end, after 3 of 9 bytes
    assert answer.status_code in (400, 409), answer.text
    assert ada.head(url).headers["Upload-Offset"] == "0"
    ada.delete(url)


def test_digests(gateway: Running, ada: httpx.Client) -> None:
    def field(body: bytes) -> str:
        return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"

    url = careful(ada, "lab:/digests", Repr_Digest=field(b"abcdef"))
    wrong = patch(ada, url, 0, b"abX", "?0", Content_Digest=field(b"abc"))
    assert problem(wrong, 422, "checksum-mismatch")["retriable"] is True
    assert ada.head(url).headers["Upload-Offset"] == "0"
    assert patch(ada, url, 0, b"abc", "?0", Content_Digest=field(b"abc")).status_code == 204
    assert patch(ada, url, 3, b"def", "?1").status_code == 200
    done(ada, url)
    wrong = ada.post(UPLOADS, content=b"abcdeX", params={"destination": "lab:/wrong"},
                     headers={"Upload-Complete": "?1", "Repr-Digest": field(b"abcdef")})  # fmt: skip
    assert wrong.status_code == 422, wrong.text
    assert not (gateway.folder / "lab" / "wrong").exists()


def test_an_upload_is_cancelled(ada: httpx.Client) -> None:
    url = careful(ada, "lab:/cancelled")
    transfer = ada.get(url).json()["transfer"]
    assert ada.delete(url).status_code == 204
    assert finished(ada, f"/api/v1/transfers/{transfer}")["state"] == "CANCELLED"
    assert ada.head(url).status_code in (404, 410)


def test_looking_does_not_disturb_but_asking_for_the_offset_does(ada: httpx.Client, wire: Connect) -> None:
    url = careful(ada, "lab:/looking")
    connection = wire()
    connection.head("PATCH", url, **PARTIAL, **{"Upload-Offset": "0"}, Upload_Complete="?1", Content_Length="6")
    connection.send(b"abc")
    assert "Upload-Offset" not in ada.get(url).headers
    connection.send(b"def")
    assert connection.answer()[0] == 200
    assert ada.get(url, headers={"Upload-Draft-Interop-Version": "8"}).headers["Upload-Offset"] == "6"
