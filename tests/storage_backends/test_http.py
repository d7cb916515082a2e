"""The http backend on real servers: the contract, single URLs, and what is asked of the server."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
from pydantic import ValidationError
from scigate.storage_backends.backend import Backend, KiB, MiB
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.errors import CredentialRefused, NotFound, SourceChanged, Unsupported
from scigate.storage_backends.http import TYPE, HttpOptions, UrlSource, open_url, redirects_within
from scigate.storage_backends.registry import connect_directly
from scigate.storage_backends.testing.case import Seed
from scigate.storage_backends.testing.pytest_suite import BackendConformance
from scigate.storage_backends.testing.servers import S3Server, free_ports
from scigate.storage_backends.web_url import InvalidUrl, parse_web_url
from scigate.storage_backends.wire import Pool

from tests import processes

BY_SECONDS = "Last-Modified counts seconds and these servers have no ETag: a change within one second has no version"


class Static(tornado.web.StaticFileHandler):
    """Tornado's static files, with ETag and ranges; without its memory of hashes, as files change here."""

    def prepare(self) -> None:
        self.reset()


@contextmanager
def tornado_server(folder: Path) -> Iterator[str]:
    """Tornado: strong ETags, ranges, 200 for a range that is the whole file."""
    started = threading.Event()
    running: dict[str, Any] = {}

    async def serve() -> None:
        (listening,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server = tornado.httpserver.HTTPServer(tornado.web.Application([(r"/(.*)", Static, {"path": str(folder)})]))
        server.add_socket(listening)
        stop = asyncio.Event()
        running.update(port=listening.getsockname()[1], stop=stop, loop=asyncio.get_running_loop())
        started.set()
        await stop.wait()
        server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{running['port']}/"
    running["loop"].call_soon_threadsafe(running["stop"].set)
    thread.join(60)


@contextmanager
def plain_server(folder: Path) -> Iterator[str]:
    """Python's http.server: no ranges at all, so each answer is the whole file."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def rclone_server(folder: Path, rclone: Path, port: int) -> Iterator[str]:
    """``rclone serve http``: ranges and Last-Modified, no ETag."""
    command = [rclone, "serve", "http", folder, "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "0s"]
    environment = {**os.environ, "RCLONE_CONFIG": str(folder / "none")}
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    url = f"http://127.0.0.1:{port}/"
    try:
        processes.await_answer(url, process, log)
        yield url
    finally:
        processes.stop(process)


def place(root: Path, path: str, data: bytes, changed: float | None = None) -> None:
    """Replace a file at once, by one that was changed now, or then."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / f"{path}.new").write_bytes(data)
    if changed is not None:
        os.utime(root / f"{path}.new", (changed, changed))
    (root / f"{path}.new").replace(root / path)


class OnServer(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("served")

    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, root: Path) -> Iterator[str]:
        raise NotImplementedError

    @pytest.fixture
    def open_backend(self, url: str) -> Callable[[], Backend]:
        return lambda: TYPE.build(HttpOptions(url=url, token=Secret("canary-token")))

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ("canary-token",)

    @pytest.fixture
    def seed(self, root: Path) -> Seed:
        return lambda path, data: place(root, path, data)


class OnServerOfSeconds(OnServer):
    """Where a version is the second of a change, all changes are of one: else four that take long have four."""

    deviations: ClassVar = {"read.version-changes": BY_SECONDS}

    @pytest.fixture(scope="class")
    @classmethod
    def moment(cls) -> float:
        return time.time()

    @pytest.fixture
    def seed(self, root: Path, moment: float) -> Seed:
        return lambda path, data: place(root, path, data, moment)


class TestTornado(OnServer):
    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, root: Path) -> Iterator[str]:
        with tornado_server(root) as url:
            yield url


class TestPlain(OnServerOfSeconds):
    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, root: Path) -> Iterator[str]:
        with plain_server(root) as url:
            yield url


class TestRclone(OnServerOfSeconds):
    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, root: Path, require: Callable[[str], Path]) -> Iterator[str]:
        with rclone_server(root, require("rclone"), *free_ports(1)) as url:
            yield url


# --- single URLs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [tornado_server, plain_server])
def test_one_url_is_one_file(tmp_path: Path, server: Callable[[Path], AbstractContextManager[str]]) -> None:
    data = os.urandom(300 * KiB)
    (tmp_path / "a b.bin").write_bytes(data)
    with server(tmp_path) as url:
        source = open_url(f"{url}a%20b.bin?download=1#part", connect_directly, redirects_within(()))
        assert source.path == "a b.bin"
        assert source.suggested_name() == "a b.bin"
        assert source.stat(source.path).size == len(data)
        assert b"".join(map(bytes, source.read("a b.bin"))) == data
        with pytest.raises(NotFound):
            source.stat("other")


def test_presigned_url_of_a_real_object_store(seaweedfs: S3Server) -> None:
    """A pre-signed URL allows GET only, so that HEAD is refused; and its query must not show up anywhere."""
    client, data = seaweedfs.client(), os.urandom(2 * MiB + 5)
    client.put_object(Bucket=seaweedfs.bucket, Key="run 7/ä.bin", Body=data)
    url = client.generate_presigned_url("get_object", Params={"Bucket": seaweedfs.bucket, "Key": "run 7/ä.bin"})
    source = open_url(url, connect_directly, redirects_within(()))
    entry = source.stat(source.path)
    assert (source.path, entry.size) == ("ä.bin", len(data))
    assert entry.version is not None
    got = b"".join(bytes(b) for at in range(0, len(data), MiB)
                   for b in source.read(source.path, at, min(MiB, len(data) - at), version=entry.version))  # fmt: skip
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    client.put_object(Bucket=seaweedfs.bucket, Key="run 7/ä.bin", Body=data[::-1])
    with pytest.raises(SourceChanged) as changed:
        list(source.read(source.path, 0, 10, version=entry.version))
    assert "Signature" not in str(changed.value)


# --- servers without ranges ------------------------------------------------------------------------------------------


def test_without_ranges_a_file_read_in_order_is_one_request(tmp_path: Path) -> None:
    data, block, requests = os.urandom(9 * MiB), MiB, []

    def connect(host: str, port: int, timeout: float) -> Any:
        requests.append(host)  # http.server speaks HTTP/1.0: one connection for each request
        return connect_directly(host, port, timeout)

    (tmp_path / "f").write_bytes(data)
    with plain_server(tmp_path) as url:
        source = open_url(f"{url}f", connect, redirects_within(()))
        version = source.stat("f").version
        requests.clear()
        got = [b"".join(map(bytes, source.read("f", at, block, version=version))) for at in range(0, len(data), block)]
        assert b"".join(got) == data
        assert len(requests) == 1
        assert source.limits.concurrency == 1


def test_without_ranges_any_order_gives_the_right_bytes(tmp_path: Path) -> None:
    data = os.urandom(3 * MiB)
    (tmp_path / "f").write_bytes(data)
    with plain_server(tmp_path) as url:
        source = open_url(f"{url}f", connect_directly, redirects_within(()))
        for at in (2 * MiB, 0, MiB, 17, MiB + 1, 2 * MiB + 5, 3 * MiB - 10, 5, 0):
            assert b"".join(map(bytes, source.read("f", at, 10))) == data[at : at + 10]


def test_without_ranges_a_source_that_is_dropped_gives_its_connection_back(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(3 * MiB))
    pool = Pool(per_host=2)
    with plain_server(tmp_path) as url:
        for _ in range(5):  # each is dropped with an answer that is kept for the next block
            source = UrlSource(parse_web_url(f"{url}f"), pool, redirects_within(()))
            assert sum(map(len, source.read("f", 0, MiB))) == MiB


def test_without_ranges_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a" * MiB)
    with plain_server(tmp_path) as url:
        source = open_url(f"{url}f", connect_directly, redirects_within(()))
        version = source.stat("f").version
        (tmp_path / "f").write_bytes(b"b" * (MiB + 1))
        with pytest.raises(SourceChanged):
            list(source.read("f", 10, 10, version=version))


def test_whether_there_are_ranges_is_known_before_a_large_file_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100 * MiB)
    with plain_server(tmp_path) as plain, tornado_server(tmp_path) as ranged:
        for url, concurrency in ((plain, 1), (ranged, 8)):
            source = open_url(f"{url}large", connect_directly, redirects_within(()))
            assert source.stat("large").size == 100 * MiB
            assert source.limits.concurrency == concurrency


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "ftp://h/"}, "only http and https"),
        ({"url": "https://user@h/"}, "user name"),
        ({"url": "https://h/?x=1"}, "no query"),
        ({"url": "http://data.example.org/", "token": Secret("canary-token")}, "use https"),
        ({"url": "https://h/", "tokens": "x"}, "Extra inputs"),
        ({"url": "https://h/", "concurrency": 0}, "greater than"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as refused:
        HttpOptions(**options)
    assert "canary-token" not in str(refused.value)


def test_folders_are_not_listed(tmp_path: Path) -> None:
    backend = TYPE.build(HttpOptions(url="http://127.0.0.1:1/"))
    with pytest.raises(Unsupported, match="cannot be listed") as refused:
        backend.scan("")
    assert "one by one" in refused.value.next_step


def test_missing_credential_is_asked_for(tmp_path: Path) -> None:
    class Closed(tornado.web.RequestHandler):
        def prepare(self) -> None:
            self.send_error(401)

    with pytest.MonkeyPatch.context() as patch, tornado_server(tmp_path) as url:
        patch.setattr(Static, "prepare", Closed.prepare)
        with pytest.raises(CredentialRefused, match="401"):
            TYPE.build(HttpOptions(url=url)).stat("f")


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/other", "data.example.org"),
        ("https://data.example.org:8444/x", "data.example.org"),
        ("https://pool-7.data.example.org/x", "pool-7.data.example.org"),
        ("http://data.example.org/x", None),
        ("https://evil.example/x", None),
        ("https://evil-data.example.org/x", None),
        ("https://169.254.169.254/x", None),
    ],
)
def test_a_configured_server_redirects_only_to_its_own(location: str, leads_to: str | None) -> None:
    vet = redirects_within(["*.data.example.org"])
    base = parse_web_url("https://data.example.org/f")
    if leads_to is None:
        with pytest.raises((Unsupported, InvalidUrl)):
            vet(base, location)
    else:
        assert vet(base, location).host == leads_to
