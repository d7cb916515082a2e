"""Folders as archives over HTTP: whole or visibly not whole, restartable, and nobody's at another's cost."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.gateway_api.http import sending
from scigate.storage_backends.backend import Buffer

from .conftest import TOKENS, Running, problem

FILES = "/api/v1/files"
MANIFEST = "SCIGATE-MANIFEST.json"
TREE = {"a.txt": b"hello", "empty": b"", "sub/deep/b.bin": bytes(range(256)) * 9000, "sub/ü.txt": b"utf-8"}


@pytest.fixture
def run(gateway: Running, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of this test's own at the storage lab, with ``TREE`` in it."""
    folder = gateway.folder / "lab" / ("run-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16])
    for name, data in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    yield folder


def url(folder: Path, path: str = "") -> str:
    return f"{FILES}/lab/{folder.name}/{path}"


def unpacked(data: bytes, kind: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as read:
            assert read.testzip() is None
            found = {info.filename: read.read(info) for info in read.infolist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert list(found)[-1] == MANIFEST
    return found, json.loads(found.pop(MANIFEST))


def until(reached: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    return reached()


@pytest.mark.parametrize(("kind", "media_type"), [("zip", "application/zip"), ("tar", "application/x-tar")])
def test_a_folder_comes_whole(ada: httpx.Client, run: Path, kind: str, media_type: str) -> None:
    os.utime(run / "a.txt", (1_700_000_000, 1_700_000_000))
    answer = ada.get(url(run), params={"archive": kind})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == media_type
    assert f'filename="{run.name}.{kind}"' in answer.headers["Content-Disposition"]
    assert answer.headers["Accept-Ranges"] == "none"
    found, manifest = unpacked(answer.content, kind)
    assert found == {f"{run.name}/{name}": data for name, data in TREE.items()}
    assert manifest["complete"] is True
    assert {file["path"]: file["sha-256"] for file in manifest["files"]} == {
        f"{run.name}/{name}": hashlib.sha256(data).hexdigest() for name, data in TREE.items()
    }
    if kind == "tar":
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            assert tar.getmember(f"{run.name}/a.txt").mtime == 1_700_000_000


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_it_goes_on_behind_any_of_its_files(ada: httpx.Client, run: Path, kind: str) -> None:
    _, whole = unpacked(ada.get(url(run), params={"archive": kind}).content, kind)
    paths = [file["path"] for file in whole["files"]]
    for number, last in enumerate(paths):
        found, manifest = unpacked(ada.get(url(run), params={"archive": kind, "after": last}).content, kind)
        assert list(found) == paths[number + 1 :]
        assert manifest["after"] == last


def test_a_whole_storage_is_named_after_it(gateway: Running) -> None:
    client = gateway.client("ada")
    gateway.service._storages.get("adas").backend.put("x/y", b"data")
    answer = client.get(f"{FILES}/adas/", params={"archive": "tar"})
    assert 'filename="adas.tar"' in answer.headers["Content-Disposition"]
    found, _ = unpacked(answer.content, "tar")
    assert found["adas/x/y"] == b"data"
    problem(gateway.client("bo").get(f"{FILES}/adas/", params={"archive": "tar"}), 404, "not-found")
    problem(gateway.client(None).get(f"{FILES}/adas/", params={"archive": "tar"}), 401, "unauthorized")


def test_head_tells_what_get_would_and_takes_no_place(gateway: Running, ada: httpx.Client, run: Path) -> None:
    for _ in range(6):
        head = ada.head(url(run), params={"archive": "zip"})
        assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == "application/zip"
    assert "Content-Disposition" in head.headers


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("a.txt", {"archive": "zip"}, 422, "not-regular"),
        ("", {"archive": "rar"}, 422, "invalid"),
        ("", {"archive": ""}, 422, "invalid"),
        ("", {"archive": "ZIP"}, 422, "invalid"),
        ("", {"archive": "zip", "meta": "1"}, 422, "invalid"),
        ("", {"archive": "zip", "limit": "5"}, 422, "invalid"),
        ("", {"archive": "zip", "recursive": "1"}, 422, "invalid"),
        ("", {"archive": "zip", "after": "elsewhere/a"}, 422, "invalid"),
        ("", {"archive": "zip", "after": "../../etc/passwd"}, 422, "invalid-name"),
        ("none/", {"archive": "zip"}, 404, "not-found"),
    ],
)
def test_what_makes_no_archive_is_explained(
    ada: httpx.Client, run: Path, path: str, params: dict[str, str], status: int, code: str
) -> None:
    for _ in range(5):  # none of them takes a place
        problem(ada.get(url(run, path), params=params), status, code)


def test_where_the_end_could_not_be_told_from_a_cut_it_is_refused(gateway: Running, run: Path) -> None:
    with socket.create_connection(("127.0.0.1", gateway.service.port), timeout=30) as client:
        target, token = url(run) + "?archive=tar", TOKENS["ada"]
        client.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b"\r\n")[0].endswith(b"505 HTTP Version Not Supported")
    assert b'"code": "http-version"' in answer


def test_links_and_pipes_are_named_in_the_manifest(ada: httpx.Client, run: Path) -> None:
    (run / "link").symlink_to("/etc/passwd")
    os.mkfifo(run / "pipe")
    found, manifest = unpacked(ada.get(url(run), params={"archive": "zip"}).content, "zip")
    assert set(found) == {f"{run.name}/{name}" for name in TREE}
    skipped = {entry["path"]: entry["reason"] for entry in manifest["skipped"]}
    assert set(skipped) == {f"{run.name}/link", f"{run.name}/pipe"}
    assert all(skipped.values())


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_file_that_shrinks_on_the_way_cuts_the_archive(gateway: Running, run: Path, kind: str) -> None:
    with (run / "large").open("wb") as file:
        file.truncate(256 << 20)
    came = bytearray()
    with (
        pytest.raises(httpx.RemoteProtocolError),
        gateway.client("ada").stream("GET", url(run), params={"archive": kind}) as answer,
    ):
        for piece in answer.iter_raw():
            came += piece
            os.truncate(run / "large", 100)
    assert MANIFEST.encode() not in came
    with pytest.raises((zipfile.BadZipFile, tarfile.TarError)):
        unpacked(bytes(came), kind)


def begun(gateway: Running, target: str, user: str = "ada") -> socket.socket:
    """A request of which only the first bytes of the answer are read."""
    client = socket.create_connection(("127.0.0.1", gateway.service.port), timeout=30)
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS[user]}\r\n\r\n".encode())
    client.recv(1000, socket.MSG_PEEK)
    return client


def places(gateway: Running) -> int:
    return gateway.service.gateway.downloads._places._taken.total()


def test_whoever_has_all_of_an_archive_has_its_place_again(
    gateway: Running, ada: httpx.Client, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = sending.close

    def close_late(buffers: Iterator[Buffer]) -> None:
        time.sleep(0.2)
        close(buffers)

    monkeypatch.setattr(sending, "close", close_late)
    assert until(lambda: places(gateway) == 0)
    assert ada.get(url(run), params={"archive": "tar"}).status_code == 200
    assert places(gateway) == 0, "else who asks for many, one after the other, would be refused now and then"


@pytest.fixture
def large(run: Path) -> Path:
    with (run / "large").open("wb") as file:
        file.truncate(1 << 30)
    return run


def test_what_a_slow_reader_has_not_taken_is_not_read(gateway: Running, large: Path) -> None:
    before = resident()
    clients = [begun(gateway, url(large) + "?archive=tar") for _ in range(4)]
    time.sleep(0.5)
    grown, free = resident() - before, threads_are_free(gateway)
    for client in clients:
        client.close()
    assert grown < 200 << 20  # of 4 GiB
    assert free
    assert until(lambda: places(gateway) == 0)


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads_are_free(gateway: Running) -> bool:
    """Whether all threads that wait for storages are idle: then they can all meet."""
    pool = gateway.service._http._site.storage_pool
    meeting = threading.Barrier(pool._max_workers)
    met = [pool.submit(meeting.wait, 60) for _ in range(pool._max_workers)]
    return all(future.exception() is None for future in met)


def test_a_reader_that_stalls_is_closed(gateway: Running, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "STALLED", timedelta(seconds=0.5))
    client = begun(gateway, url(large) + "?archive=zip")
    assert until(lambda: places(gateway) == 0)
    with client, pytest.raises((ConnectionResetError, AssertionError)):
        while piece := client.recv(1 << 20):
            assert MANIFEST.encode() not in piece
        raise AssertionError("the connection has ended before the archive")


def test_only_so_many_archives_go_out_at_once(gateway: Running, large: Path) -> None:
    clients = [begun(gateway, url(large) + "?archive=tar") for _ in range(4)]
    answer = gateway.client("ada").get(url(large), params={"archive": "tar"})
    assert problem(answer, 429, "too-many-archives")["retriable"] is True
    assert int(answer.headers["Retry-After"]) > 0
    assert gateway.client("ada").get(url(large, "a.txt")).content == b"hello"
    assert gateway.client("bo").head(url(large), params={"archive": "tar"}).status_code == 200
    for client in clients:
        client.close()
    assert until(lambda: places(gateway) == 0)
    assert gateway.client("ada").head(url(large), params={"archive": "tar"}).status_code == 200


def test_a_digest_that_is_wanted_is_computed(ada: httpx.Client, run: Path) -> None:
    data = TREE["sub/deep/b.bin"]
    expected = f"md5=:{base64.b64encode(hashlib.md5(data).digest()).decode()}:"
    for method in ("GET", "HEAD"):
        wanted = {"Want-Repr-Digest": "unheard-of=9, md5=3"}
        answer = ada.request(method, url(run, "sub/deep/b.bin"), headers=wanted)
        assert answer.headers["Repr-Digest"] == expected
        assert answer.headers["Content-Length"] == str(len(data))
    part = ada.get(url(run, "sub/deep/b.bin"), headers={**wanted, "Range": "bytes=0-9"})
    assert (part.status_code, part.headers["Repr-Digest"]) == (206, expected)
    for nonsense in ("unheard-of=9", "md5=0", "md5=11", "="):
        answer = ada.get(url(run, "a.txt"), headers={"Want-Repr-Digest": nonsense})
        assert (answer.status_code, answer.content) == (200, b"hello")
        assert "Repr-Digest" not in answer.headers


def test_a_folder_without_its_slash_is_told_to_be_one(run: Path, ada: httpx.Client) -> None:
    told = problem(ada.get(f"{FILES}/lab/{run.name}/sub", params={"archive": "tar"}), 422, "not-regular")
    assert "is a folder" in told["detail"]
    assert told["next_step"].endswith("/sub/.")
    told = problem(ada.get(f"{FILES}/lab/{run.name}/a.txt", params={"archive": "tar"}), 422, "not-regular")
    assert "is a file" in told["detail"]
    assert "without 'archive'" in told["next_step"]
    problem(ada.get(f"{FILES}/lab/{run.name}/none", params={"archive": "tar"}), 404, "not-found")
