"""Downloads that are sent to the storage itself: real links of a real S3 server, no token with them, none in a log."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from scigate.gateway_api.client import Gateway
from scigate.gateway_api.client.block_journal import BlockJournal
from scigate.gateway_api.client.download import part_path
from scigate.gateway_api.client.session import file_path
from scigate.storage_backends.testing.servers import S3Server

from .conftest import TOKENS, Running, problem, serving, write_settings

FILES = "/api/v1/files"
DATA = os.urandom(3_000_000)


class Recorder:
    """Passes connections on to a server, and keeps what clients sent; ``cut_after`` bytes of an answer it hangs up."""

    def __init__(self, upstream: str) -> None:
        self.upstream = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self.sent = bytearray()
        self.cut_after: int | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.upstream)
            threading.Thread(target=self._pass, args=(client, upstream, self.sent, None), daemon=True).start()
            answers = (upstream, client, None, self.cut_after)
            threading.Thread(target=self._pass, args=answers, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, record: bytearray | None, left: int | None) -> None:
        try:
            while data := source.recv(65536):
                if record is not None:
                    record += data
                sink.sendall(data if left is None else data[:left])
                left = None if left is None else left - len(data)
                if left is not None and left <= 0:
                    break
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.fixture(scope="module")
def s3(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("seaweedfs")


@pytest.fixture(scope="module")
def between(s3: S3Server) -> Iterator[Recorder]:
    """What the gateway calls the storage's address."""
    recorder = Recorder(s3.endpoint)
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, s3: S3Server, between: Recorder) -> Iterator[Running]:
    """The same bucket twice: ``direct`` sends downloads there, ``through`` (the default) does not."""
    folder = tmp_path_factory.mktemp("presign")
    (folder / "key").touch(0o600)
    (folder / "key").write_text(s3.secret_key)
    extra = "".join(
        f"""
[storages.{name}]
type = "s3"
endpoint = "{between.url}"
bucket = "{s3.bucket}"
region = "{s3.region}"
access_key = "{s3.access_key}"
secret_key = {{ file = {json.dumps(str(folder / "key"))} }}
{line}
"""
        for name, line in {"direct": "presign_downloads = true", "through": ""}.items()
    )
    with serving(write_settings(folder, extra + '[limits]\npresign_lifetime = "2m"\n')) as running:
        yield running


@pytest.fixture
def name(gateway: Running, request: pytest.FixtureRequest) -> str:
    """An object of this test's own with ``DATA``."""
    name = f"ü {hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}+%41"
    gateway.service._storages.get("through").backend.put(name, DATA)
    return name


def url(name: str, storage: str = "direct") -> str:
    return f"{FILES}/{storage}/{quote(name)}"


def test_a_download_is_sent_to_the_storage(ada: httpx.Client, name: str) -> None:
    answer = ada.get(url(name))
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    link = answer.headers["Location"]
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["120"]
    assert httpx.get(link, timeout=60).content == DATA
    part = httpx.get(link, headers={"Range": "bytes=10-19"}, timeout=60)
    assert (part.status_code, part.content) == (206, DATA[10:20])


def test_only_the_bytes_are_sent_there(ada: httpx.Client, name: str) -> None:
    assert ada.get(url(name), params={"redirect": 0}).content == DATA
    assert ada.get(url(name, "through")).content == DATA
    head = ada.head(url(name))
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(DATA)))
    assert ada.get(url(name), params={"meta": 1}).json()["size"] == len(DATA)
    assert ada.get(f"{FILES}/direct/").json()["items"]
    tag = head.headers["ETag"]
    assert ada.get(url(name), headers={"If-None-Match": tag}).status_code == 304
    problem(ada.get(url(name), headers={"If-Match": '"other"'}), 412, "precondition-failed")
    problem(ada.get(url(name), headers={"Range": f"bytes={len(DATA)}-"}), 416, "range-not-satisfiable")
    problem(ada.get(url("none")), 404, "not-found")


def test_a_range_of_another_version_is_answered_here(ada: httpx.Client, name: str) -> None:
    tag = ada.head(url(name)).headers["ETag"]
    same = ada.get(url(name), headers={"Range": "bytes=0-9", "If-Range": tag})
    assert same.status_code == 307
    other = ada.get(url(name), headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, DATA)


def test_strangers_get_no_link(gateway: Running, name: str) -> None:
    problem(gateway.client(None).get(url(name)), 401, "unauthorized")


def test_the_client_fetches_from_there_without_its_token(
    gateway: Running, between: Recorder, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del between.sent[:]
    with caplog.at_level(logging.INFO), Gateway(gateway.service.url, TOKENS["ada"]) as client:
        got = client.get(f"direct:/{name}", tmp_path / "a")
    assert got.path.read_bytes() == DATA
    assert got.digest is not None, "the gateway's word for the digest was checked"
    sent = bytes(between.sent)
    assert b"X-Amz-Signature" in sent, "it went there"
    assert TOKENS["ada"].encode() not in sent
    assert b"Bearer" not in sent
    assert "GET" in caplog.text, "requests are logged"
    assert "X-Amz-Signature" not in caplog.text


def test_a_broken_download_goes_on_where_it_broke(
    gateway: Running, between: Recorder, name: str, tmp_path: Path
) -> None:
    between.cut_after = 1_200_000
    try:
        counted: list[int] = []
        with Gateway(gateway.service.url, TOKENS["ada"]) as client:
            got = client.get(f"direct:/{name}", tmp_path / "a", received=counted.append)
    finally:
        between.cut_after = None
    assert got.path.read_bytes() == DATA
    assert sum(counted) == len(DATA)


def test_it_begins_anew_when_the_file_has_changed(gateway: Running, name: str, tmp_path: Path) -> None:
    backend = gateway.service._storages.get("through").backend
    target = tmp_path / "a"
    old = backend.stat(name).version
    part_path(target).write_bytes(DATA[:1_000_000])
    resource = hashlib.sha256(file_path("direct", name).encode()).hexdigest()
    journal = BlockJournal(part_path(target).with_name(part_path(target).name + ".json"))
    journal.begin(resource, f'"{old}"')
    journal.wrote(memoryview(DATA[:1_000_000]))
    journal.end_block()
    new = os.urandom(2_000_000)
    backend.put(name, new)
    with Gateway(gateway.service.url, TOKENS["ada"]) as client:
        got = client.get(f"direct:/{name}", target)
    assert got.path.read_bytes() == new


def test_a_link_ends(gateway: Running, name: str) -> None:
    opened = gateway.service._storages.get("direct")
    presign = opened.backend.extras.presign
    assert presign is not None
    link = presign(name, timedelta(seconds=1))
    end = time.monotonic() + 120
    while httpx.get(link, timeout=60).status_code == 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert httpx.get(link, timeout=60).status_code in (400, 401, 403)
