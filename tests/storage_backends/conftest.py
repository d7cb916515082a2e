"""Real S3 servers, one of each for the whole run; every test takes a prefix or bucket of its own."""

from __future__ import annotations

import http.client
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.registry import connect_directly
from scigate.storage_backends.s3 import TYPE, S3Backend, S3Options
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3, strict_s3


@pytest.fixture(scope="session")
def seaweedfs(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("seaweedfs")


@pytest.fixture(scope="session")
def rclone_s3(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("rclone_s3")


@pytest.fixture(scope="session")
def moto_s3(shared_server: Callable[[str], S3Server]) -> S3Server:
    return shared_server("moto_s3")


@pytest.fixture(scope="session")
def strict_seaweedfs(seaweedfs: S3Server) -> Iterator[StrictS3]:
    """The strict layer before SeaweedFS; its weather is for the tests of one class or module to make and to end."""
    with strict_s3(seaweedfs) as layer:
        yield layer


@pytest.fixture(scope="session", params=["seaweedfs", "rclone_s3", "moto_s3"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each server in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


def open_s3(server: S3Server, connect: Any = connect_directly, **options: Any) -> S3Backend:
    """A client of one bucket of a server; by default below a prefix of its own."""
    given = {
        "bucket": server.bucket,
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": Secret(server.secret_key),
        "prefix": f"test-{secrets.token_hex(8)}",
    }
    backend = TYPE.build(S3Options(**(given | options)), connect)
    assert isinstance(backend, S3Backend)
    return backend


@pytest.fixture(name="open_s3")
def open_s3_fixture() -> Callable[..., S3Backend]:
    """``open_s3(server, **options)`` opens an S3 storage, under a prefix of its own unless told otherwise."""
    return open_s3


@dataclass
class Fault:
    """What the shim does to requests of a method whose target contains some text, the first ``times`` times."""

    method: str
    text: str = ""
    status: int = 500
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    forwarded: bool = False  # the real server did it, only its answer is replaced
    dropped: bool = False  # no answer at all

    def takes(self, method: str, target: str) -> bool:
        if self.times == 0 or method != self.method or self.text not in target:
            return False
        self.times -= 1
        return True


def s3_error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>SECRET-IN-MESSAGE</Message></Error>'.encode()


class Shim:
    """A thin proxy before a real server that does to chosen requests what no server does on demand."""

    def __init__(self, server: S3Server) -> None:
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        shim, upstream = self, server.endpoint.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                shim.seen.append(f"{self.command} {self.path}")
                fault = next((one for one in shim.faults if one.takes(self.command, self.path)), None)
                if fault is None or fault.forwarded:
                    status, headers, answer = self.forward(body)
                if fault is not None:
                    status, headers, answer = fault.status, fault.headers, fault.body
                if fault is not None and fault.dropped:
                    self.close_connection = True
                    return
                self.answer(status, headers, answer)

            def forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                connection = http.client.HTTPConnection(upstream, timeout=30)
                connection.request(self.command, self.path, body or None, dict(self.headers))
                response = connection.getresponse()
                answer = response.read()
                headers = dict(response.getheaders())
                connection.close()
                return response.status, headers, answer

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                kept = {name.lower(): value for name, value in headers.items()}
                kept.pop("transfer-encoding", None)
                kept.pop("connection", None)
                if status not in {204, 304}:
                    kept.setdefault("content-length", str(len(body)))
                for name, value in kept.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fault(self, method: str, text: str = "", **what: Any) -> None:
        self.faults.append(Fault(method, text, **what))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def s3_shim(seaweedfs: S3Server) -> Iterator[Shim]:
    """A shim before SeaweedFS."""
    shim = Shim(seaweedfs)
    yield shim
    shim.close()


@pytest.fixture(name="s3_error")
def s3_error_fixture() -> Callable[[str], bytes]:
    """``s3_error("SlowDown")`` is an error document with that code and a message that must not be passed on."""
    return s3_error
