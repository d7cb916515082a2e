"""Files and folders over HTTP: listing, download, ranges, conditions, names, changing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import httpx
import pytest

from .conftest import TOKENS, Running, problem

FILES = "/api/v1/files"
DATA = bytes(range(256)) * 20


@pytest.fixture
def lab(gateway: Running, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of this test's own at the storage lab."""
    folder = gateway.folder / "lab" / hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    folder.mkdir()
    (folder / "data.bin").write_bytes(DATA)
    yield folder


def url(folder: Path, path: str = "data.bin") -> str:
    return f"{FILES}/lab/{folder.name}/{path}"


def test_a_file_comes_with_all_that_is_known_of_it(ada: httpx.Client, lab: Path) -> None:
    answer = ada.get(url(lab))
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["ETag"].startswith('"')
    assert "Last-Modified" in answer.headers


def test_head_says_the_same_without_the_bytes(ada: httpx.Client, lab: Path) -> None:
    got, head = ada.get(url(lab)), ada.head(url(lab))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "ETag", "Last-Modified", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == got.headers[name]


def test_a_digest_that_the_storage_vouches_for_is_told(gateway: Running, ada: httpx.Client) -> None:
    gateway.service._storages.get("mem").backend.put("told", DATA)
    told = ada.get(f"{FILES}/mem/told").headers["Repr-Digest"]
    assert f"sha-256=:{base64.b64encode(hashlib.sha256(DATA).digest()).decode()}:" in told


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("0-0", 0, 0),
        ("10-19", 10, 19),
        ("5000-", 5000, 5119),
        ("-20", 5100, 5119),
        ("-99999", 0, 5119),
        ("5119-9999", 5119, 5119),
    ],
)
def test_one_range(ada: httpx.Client, lab: Path, wanted: str, first: int, last: int) -> None:
    answer = ada.get(url(lab), headers={"Range": f"bytes={wanted}"})
    assert (answer.status_code, answer.content) == (206, DATA[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"


@pytest.mark.parametrize("wanted", ["5120-", "9999-10000", "-0"])
def test_a_range_that_is_not_there(ada: httpx.Client, lab: Path, wanted: str) -> None:
    answer = ada.get(url(lab), headers={"Range": f"bytes={wanted}"})
    problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "items=0-1", "bytes=5-1", "bytes=x-y", "bytes=-", "bytes=1e3-"])
def test_a_range_that_may_be_ignored_is(ada: httpx.Client, lab: Path, wanted: str) -> None:
    answer = ada.get(url(lab), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_conditions(ada: httpx.Client, lab: Path) -> None:
    first = ada.get(url(lab))
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    same = ada.get(url(lab), headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert ada.get(url(lab), headers={"If-Modified-Since": date}).status_code == 304
    assert ada.get(url(lab), headers={"If-Match": tag}).status_code == 200
    assert ada.get(url(lab), headers={"If-Range": tag, "Range": "bytes=0-4"}).status_code == 206
    problem(ada.get(url(lab), headers={"If-Match": '"other"'}), 412, "precondition-failed")
    old = {"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}
    problem(ada.get(url(lab), headers=old), 412, "precondition-failed")
    (lab / "data.bin").write_bytes(b"new")
    whole = ada.get(url(lab), headers={"If-Range": tag, "Range": "bytes=0-1"})
    assert (whole.status_code, whole.content) == (200, b"new")
    problem(ada.get(url(lab), headers={"If-Match": tag}), 412, "precondition-failed")


def test_an_empty_file(ada: httpx.Client, lab: Path) -> None:
    (lab / "empty").touch()
    answer = ada.get(url(lab, "empty"))
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    problem(ada.get(url(lab, "empty"), headers={"Range": "bytes=0-"}), 416, "range-not-satisfiable")


def test_a_large_file_arrives_whole(ada: httpx.Client, lab: Path) -> None:
    data = os.urandom(1 << 20) * 9 + b"end"
    (lab / "large").write_bytes(data)
    with ada.stream("GET", url(lab, "large")) as answer:
        digest = hashlib.sha256()
        for piece in answer.iter_bytes():
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(data).digest()


def test_a_client_that_leaves_frees_the_file(gateway: Running, lab: Path) -> None:
    with (lab / "huge").open("wb") as file:
        file.truncate(1 << 30)
    path = (lab / "huge").resolve()
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=120)
    request = f"GET {url(lab, 'huge')} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['ada']}\r\n\r\n"
    client.sendall(request.encode())
    with client.makefile("rb", buffering=0) as answer:
        assert answer.readline().startswith(b"HTTP/1.1 200")
    assert path in open_files()
    client.close()
    end = time.monotonic() + 120
    while path in open_files() and time.monotonic() < end:
        time.sleep(0.05)
    assert path not in open_files()


def open_files() -> set[Path]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(link.readlink())
        except OSError:
            continue
    return found


def test_a_source_that_shrinks_while_it_is_sent_is_not_passed_off_as_whole(gateway: Running, lab: Path) -> None:
    with (lab / "shrinks").open("wb") as file:
        file.truncate(256 << 20)
    client = gateway.client("ada")
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("GET", url(lab, "shrinks")) as answer,
    ):
        pieces = answer.iter_raw()
        next(pieces)
        os.truncate(lab / "shrinks", 100)
        for _ in pieces:
            pass


NAMES = [
    b"plain", b"with space", b"a%2Fb", "grüße.txt".encode(), b"not-utf8-\xff\xfe", b"quote\"'", b"new\nline",
    b"semi;colon", b"hash#mark", b"what?", b"back\\slash",
    "\u202egpj.exe".encode(), b"plus+plus", b"tab\there", b"-leading", b"...",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=quote)
def test_names_are_kept_byte_for_byte(gateway: Running, ada: httpx.Client, lab: Path, name: bytes) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(lab), name))).write_bytes(name)
    status, headers, body = gateway.raw("GET", f"{FILES}/lab/{lab.name}/{quote(name)}")
    assert (status, body) == (200, name)
    assert headers["content-disposition"].isprintable()
    listed = [entry["name"] for entry in ada.get(url(lab, "")).json()["items"]]
    assert name.decode("utf-8", "surrogateescape") in listed
    meta = gateway.raw("GET", f"{FILES}/lab/{lab.name}/{quote(name)}?meta=1")
    assert meta[0] == 200
    told = headers["content-disposition"].rpartition("filename*=UTF-8''")[2]
    assert unquote_to_bytes(told).decode() == re.sub(r"[\n\t\\\u202e]", "_", name.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    "target",
    ["../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "a/../../x", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "x" * 5000],
)
def test_a_path_that_leads_out_is_refused(gateway: Running, target: str) -> None:
    status, headers, body = gateway.raw("GET", f"{FILES}/lab/{target}")
    assert status == 422
    assert headers["content-type"] == "application/problem+json"
    assert b"root:" not in body


def test_links_are_listed_with_the_reason_and_not_followed(ada: httpx.Client, lab: Path) -> None:
    (lab / "link").symlink_to("/etc/passwd")
    os.mkfifo(lab / "pipe")
    notes = {entry["name"]: entry for entry in ada.get(url(lab, "")).json()["items"]}
    for name in ("link", "pipe"):
        assert notes[name]["kind"] == "other"
        assert notes[name]["note"]
        problem(ada.get(url(lab, name)), 422, "not-regular")


def test_a_folder_without_its_slash_is_explained(ada: httpx.Client, lab: Path) -> None:
    (lab / "folder").mkdir()
    assert "'/'" in problem(ada.get(url(lab, "folder")), 422, "not-regular")["next_step"]
    assert ada.get(url(lab, "folder/")).json() == {"items": [], "next": None}
    assert ada.get(url(lab, "folder/"), params={"meta": 1}).json()["kind"] == "folder"


def test_what_is_not_there(ada: httpx.Client, lab: Path) -> None:
    for path in ("none", "none/", "data.bin/below"):
        assert ada.get(url(lab, path)).status_code in (404, 422)
    body = problem(ada.get(url(lab, "none")), 404, "not-found")
    assert "none" in body["detail"]
    problem(ada.get(url(lab, "none"), params={"meta": 1}), 404, "not-found")
    problem(ada.delete(url(lab, "none")), 404, "not-found")


def test_pages_follow_their_links(ada: httpx.Client, lab: Path) -> None:
    names = {f"n{number:03}" for number in range(25)} | {"data.bin", "über", "a b&c=d"}
    for name in names - {"data.bin"}:
        (lab / name).touch()
    seen: list[str] = []
    following: str | None = url(lab, "") + "?limit=10"
    pages = 0
    while following:
        answer = ada.get(following)
        seen += [entry["name"] for entry in answer.json()["items"]]
        pages += 1
        following = answer.links.get("next", {}).get("url")
        assert (following is None) == (answer.json()["next"] is None)
    assert (pages, len(seen), set(seen)) == (3, len(names), names)


def test_a_recursive_listing_has_all_files_and_no_folders(ada: httpx.Client, lab: Path) -> None:
    (lab / "a" / "b").mkdir(parents=True)
    (lab / "a" / "b" / "deep").touch()
    entries = ada.get(url(lab, ""), params={"recursive": 1}).json()["items"]
    assert {entry["location"] for entry in entries} == {
        f"lab:/{lab.name}/data.bin",
        f"lab:/{lab.name}/a/b/deep",
    }


def test_folders_are_made_and_removed(ada: httpx.Client, lab: Path) -> None:
    made = ada.post(url(lab, "x/y/"))
    assert (made.status_code, made.json()["kind"]) == (201, "folder")
    assert made.headers["Location"] == url(lab, "x/y/")
    assert (lab / "x" / "y").is_dir()
    assert ada.post(url(lab, "x/y/")).status_code == 201
    assert ada.delete(url(lab, "x/")).status_code in (409, 422)
    assert ada.delete(url(lab, "x/y/")).status_code == 204
    assert not (lab / "x" / "y").exists()
    problem(ada.post(url(lab, "z")), 422, "not-regular")


def test_the_root_stays(gateway: Running, ada: httpx.Client) -> None:
    problem(ada.delete(f"{FILES}/lab/"), 409, "root")
    assert (gateway.folder / "lab").is_dir()


def test_a_file_moves_within_its_storage(ada: httpx.Client, lab: Path) -> None:
    there = f"lab:/{lab.name}/"
    answer = ada.post("/api/v1/moves", json={"source": there + "data.bin", "destination": there + "moved"})
    assert (answer.status_code, answer.json()["location"]) == (200, there + "moved")
    assert (lab / "moved").read_bytes() == DATA
    assert not (lab / "data.bin").exists()


def test_a_move_replaces_only_when_told(ada: httpx.Client, lab: Path) -> None:
    (lab / "other").write_bytes(b"other")
    move = {"source": f"lab:/{lab.name}/data.bin", "destination": f"lab:/{lab.name}/other"}
    problem(ada.post("/api/v1/moves", json=move), 409, "already-exists")
    assert (lab / "other").read_bytes() == b"other"
    assert ada.post("/api/v1/moves", json=move | {"overwrite": True}).status_code == 200
    assert (lab / "other").read_bytes() == DATA


@pytest.mark.parametrize(
    ("destination", "status", "code"),
    [("mem:/x", 422, "across-storages"), ("lab:/folder/", 422, "not-regular"), ("nonsense", 422, "invalid-name"),
     ("lab:/../x", 422, "invalid-name"), ("adas:/x", 422, "across-storages")],
)  # fmt: skip
def test_a_move_that_cannot_be(ada: httpx.Client, lab: Path, destination: str, status: int, code: str) -> None:
    move = {"source": f"lab:/{lab.name}/data.bin", "destination": destination}
    problem(ada.post("/api/v1/moves", json=move), status, code)
    assert (lab / "data.bin").read_bytes() == DATA


def test_a_move_onto_itself_changes_nothing(ada: httpx.Client, lab: Path) -> None:
    same = f"lab:/{lab.name}/data.bin"
    problem(ada.post("/api/v1/moves", json={"source": same, "destination": same, "overwrite": True}), 409, "same-file")
    assert (lab / "data.bin").read_bytes() == DATA


def test_a_broken_percent_encoding_is_refused_not_stored(gateway: Running) -> None:
    status, _, body = gateway.raw("PUT", "/api/v1/files/lab/bad%zz", b"x")
    assert (status, b"malformed" in body) == (400, True)
    assert not list((gateway.folder / "lab").glob("bad*"))
