"""tus 1.0 as its clients see it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest
from awscrt import checksums

from ..conftest import Running, finished, problem
from .conftest import BYTES, TUS, UPLOADS, append, create, data, done, metadata, offset, state

DATA = data(300_000)


def test_an_upload_in_three_pieces(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, len(DATA), "lab:/three/file.bin")
    assert url.startswith(f"{UPLOADS}/")
    for start in (0, 100_000, 200_000):
        assert offset(ada, url) == start
        answer = append(ada, url, start, DATA[start : start + 100_000])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(start + 100_000))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    upload = done(ada, url)
    assert (gateway.folder / "lab" / "three" / "file.bin").read_bytes() == DATA
    assert (upload["arrived"]["bytes"], upload["stored"]["bytes"], upload["size"]) == (len(DATA),) * 3
    assert finished(ada, f"/api/v1/transfers/{upload['transfer']}")["state"] == "DONE"


def test_what_can_be_done_is_told(ada: httpx.Client) -> None:
    for url in (UPLOADS, f"{UPLOADS}/{'0' * 32}"):
        answer = ada.options(url)
        assert answer.status_code == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert "creation" in answer.headers["Tus-Extension"].split(",")
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,sha512,md5,crc32,crc64nvme"
        assert answer.headers["Upload-Limit"] == f"max-size={answer.headers['Tus-Max-Size']}"
        assert "OPTIONS" in answer.headers["Allow"]


def test_how_far_it_is(ada: httpx.Client) -> None:
    about = metadata(destination="mem:/far", filename="far.bin", filetype="x/y")
    url = create(ada, 9, None, Upload_Metadata=about)
    append(ada, url, 0, b"abcd")
    answer = ada.head(url, headers=TUS)
    assert answer.headers["Cache-Control"] == "no-store"
    assert {name: answer.headers[name] for name in ("Upload-Offset", "Upload-Length", "Upload-Metadata")} == {
        "Upload-Offset": "4", "Upload-Length": "9", "Upload-Metadata": about
    }  # fmt: skip
    assert parsedate_to_datetime(answer.headers["Upload-Expires"]).tzinfo
    upload = state(ada, url, "RECEIVING")
    assert (upload["name"], upload["destination"], upload["arrived"]["bytes"]) == ("far.bin", "mem:/far", 4)
    ada.delete(url, headers=TUS)


def test_the_first_bytes_come_with_the_creation(gateway: Running, ada: httpx.Client) -> None:
    headers = {**BYTES, "Upload-Length": "7", "Upload-Metadata": metadata(destination="lab:/with")}
    answer = ada.post(UPLOADS, content=b"abcd", headers=headers)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "4")
    assert append(ada, answer.headers["Location"], 4, b"efg").status_code == 204
    done(ada, answer.headers["Location"])
    assert (gateway.folder / "lab" / "with").read_bytes() == b"abcdefg"


def test_all_bytes_come_with_the_creation(gateway: Running, ada: httpx.Client) -> None:
    headers = {**BYTES, "Upload-Length": str(len(DATA)), "Upload-Metadata": metadata(destination="lab:/all")}
    answer = ada.post(UPLOADS, content=DATA, headers=headers)
    assert answer.headers["Upload-Offset"] == str(len(DATA))
    done(ada, answer.headers["Location"])
    assert (gateway.folder / "lab" / "all").read_bytes() == DATA


def test_an_empty_file(gateway: Running, ada: httpx.Client) -> None:
    done(ada, create(ada, 0, "lab:/empty"))
    assert (gateway.folder / "lab" / "empty").read_bytes() == b""


def test_the_length_comes_later(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, None, "lab:/later")
    assert append(ada, url, 0, b"abcd").status_code == 204
    assert ada.head(url, headers=TUS).headers["Upload-Defer-Length"] == "1"
    assert append(ada, url, 4, b"ef", Upload_Length="8").status_code == 204
    answer = ada.head(url, headers=TUS)
    assert ("Upload-Defer-Length" in answer.headers, answer.headers["Upload-Length"]) == (False, "8")
    assert append(ada, url, 6, b"gh").status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / "later").read_bytes() == b"abcdefgh"


CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
    "md5": lambda data: hashlib.md5(data).digest(),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc64nvme": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
}


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_checksums(gateway: Running, ada: httpx.Client, algorithm: str) -> None:
    url = create(ada, len(DATA), f"lab:/{algorithm}")
    value = f"{algorithm} {base64.b64encode(CHECKSUMS[algorithm](DATA[:200_000])).decode()}"
    wrong = append(ada, url, 0, DATA[1:200_001], Upload_Checksum=value)
    assert "again" in problem(wrong, 460, "checksum-mismatch")["next_step"]
    assert wrong.reason_phrase == "Checksum Mismatch"
    assert offset(ada, url) == 0
    assert append(ada, url, 0, DATA[:200_000], Upload_Checksum=value).status_code == 204
    assert append(ada, url, 200_000, DATA[200_000:]).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / algorithm).read_bytes() == DATA


@pytest.mark.parametrize(("algorithm", "name"), [("crc64nvme", "crc64nvme"), ("sha256", "sha-256")])
def test_the_digest_of_the_whole_comes_with_its_last_bytes(
    gateway: Running, ada: httpx.Client, algorithm: str, name: str
) -> None:
    value = f"{name}=:{base64.b64encode(CHECKSUMS[algorithm](DATA)).decode()}:"
    url = create(ada, len(DATA), f"lab:/whole-{name}")
    assert append(ada, url, 0, DATA[:200_000], Repr_Digest=value).status_code == 204  # not the last ones: not compared
    assert ada.get(url).json()["durable"] == {
        "bytes": 200_000, "crc64nvme": f"{checksums.crc64nvme(DATA[:200_000]):016x}"
    }  # fmt: skip
    assert append(ada, url, 200_000, DATA[200_000:], Repr_Digest=value).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / f"whole-{name}").read_bytes() == DATA


@pytest.mark.parametrize(("algorithm", "name"), [("crc64nvme", "crc64nvme"), ("sha256", "sha-256")])
def test_what_was_mixed_from_two_files_is_not_stored(
    gateway: Running, ada: httpx.Client, algorithm: str, name: str
) -> None:
    value = f"{name}=:{base64.b64encode(CHECKSUMS[algorithm](DATA)).decode()}:"
    url = create(ada, len(DATA), f"lab:/mixed-{name}")
    assert append(ada, url, 0, DATA[1:200_001]).status_code == 204
    refused = append(ada, url, 200_000, DATA[200_000:], Repr_Digest=value)
    assert name in problem(refused, 422, "digest-mismatch")["title"]
    upload = state(ada, url, "FAILED")
    assert upload["cause"]["code"] == "digest-mismatch"
    assert finished(ada, f"/api/v1/transfers/{upload['transfer']}")["state"] == "FAILED"
    assert not (gateway.folder / "lab" / f"mixed-{name}").exists()


def test_parts_are_put_together(gateway: Running, ada: httpx.Client) -> None:
    parts = [DATA[:100_000], DATA[100_000:100_001], DATA[100_001:]]
    urls = [create(ada, len(part), None, Upload_Concat="partial") for part in parts]
    for url, part in zip(reversed(urls), reversed(parts), strict=True):
        assert append(ada, url, 0, part).status_code == 204
    assert ada.head(urls[0], headers=TUS).headers["Upload-Concat"] == "partial"
    about = {**TUS, "Upload-Metadata": metadata(destination="lab:/parts"), "Upload-Concat": f"final;{' '.join(urls)}"}
    answer = ada.post(UPLOADS, headers=about)
    assert answer.status_code == 201, answer.text
    whole = answer.headers["Location"]
    told = ada.head(whole, headers=TUS).headers
    assert (told["Upload-Length"], told["Upload-Offset"]) == (str(len(DATA)), str(len(DATA)))
    assert told["Upload-Concat"] == f"final;{' '.join(urls)}"
    assert append(ada, whole, len(DATA), b"more").status_code == 403
    done(ada, whole)
    assert (gateway.folder / "lab" / "parts").read_bytes() == DATA


def test_an_upload_is_ended(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, 10, "lab:/ended")
    append(ada, url, 0, b"abc")
    transfer = ada.get(url).json()["transfer"]
    assert ada.delete(url, headers=TUS).status_code == 204
    assert finished(ada, f"/api/v1/transfers/{transfer}")["state"] == "CANCELLED"
    assert ada.head(url, headers=TUS).status_code in (404, 410)
    assert append(ada, url, 3, b"def").status_code in (404, 410)
    assert not (gateway.folder / "lab" / "ended").exists()


def test_who_can_only_post(gateway: Running, ada: httpx.Client) -> None:
    url = create(ada, 4, "lab:/posted")
    headers = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert ada.post(url, content=b"abcd", headers=headers).status_code == 204
    done(ada, url)
    other = create(ada, 4, "lab:/deleted")
    assert ada.post(other, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    problem(ada.post(other, headers=TUS), 405, "method-not-allowed")
    answer = ada.post("/api/v1/files/lab/posted", headers={"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code != 204  # only uploads know this header
    assert (gateway.folder / "lab" / "posted").exists()


def test_the_same_key_creates_once(ada: httpx.Client) -> None:
    first = create(ada, 4, "lab:/keyed", Idempotency_Key="tus-once")
    assert create(ada, 4, "lab:/keyed", Idempotency_Key="tus-once") == first
    ada.delete(first, headers=TUS)


def test_uploads_are_listed(gateway: Running, ada: httpx.Client) -> None:
    urls = [create(ada, 4, f"lab:/listed{number}") for number in range(3)]
    page = ada.get(UPLOADS, params={"limit": 2})
    assert [f"{UPLOADS}/{upload['id']}" for upload in page.json()["items"]] == [urls[2], urls[1]]
    following = page.headers["Link"].partition(">")[0].lstrip("<")
    assert ada.get(following).json()["items"][0]["id"] in urls[0]
    assert not [one for one in gateway.client("bo").get(UPLOADS).json()["items"] if one["owner"] != "bo"]
    for url in urls:
        ada.delete(url, headers=TUS)


def test_a_folder_is_announced_and_sent(gateway: Running, ada: httpx.Client) -> None:
    files = {"a.txt": b"aaa", "sub/b.txt": b"", "sub/c.bin": DATA}
    manifest = {
        "destination": "lab:/folder/",
        "files": [{"path": path, "size": len(body)} for path, body in files.items()],
    }
    answer = ada.post("/api/v1/manifests", json=manifest, headers={"Idempotency-Key": "folder"})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert [upload["destination"] for upload in told["uploads"]] == [f"lab:/folder/{path}" for path in files]
    assert answer.headers["Location"] == f"/api/v1/transfers/{told['transfer']['id']}"
    for upload, body in zip(told["uploads"], files.values(), strict=True):
        if body:
            assert append(ada, f"{UPLOADS}/{upload['id']}", 0, body).status_code == 204
    assert finished(ada, answer.headers["Location"])["state"] == "DONE"
    assert {path: (gateway.folder / "lab" / "folder" / path).read_bytes() for path in files} == files
    again = ada.post("/api/v1/manifests", json=manifest, headers={"Idempotency-Key": "folder"})
    assert again.json()["replayed"]
    assert again.headers["Idempotent-Replayed"] == "true"
