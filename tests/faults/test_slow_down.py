"""Servers that ask for less get less: their wish is heeded, and nobody is asked more often than is needed."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .ground import Ground

FILES: Final = 40
WISH: Final = 6  # seconds
SLOW_DOWN: Final = b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>'


class Busy:
    """Before a real server: until it relents, each PUT of an object is answered with 503 SlowDown, or 429."""

    def __init__(self, server: S3Server, status: int) -> None:
        self._lock, self._refuses = threading.Lock(), True
        self.seen: Counter[str] = Counter()
        self.times: list[float] = []
        busy, upstream = self, server.endpoint.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                kind = self.command if ".scigate-probe" not in self.path else "probe"
                if busy.refuses(kind):
                    self.answer(status, {"Retry-After": str(WISH)}, SLOW_DOWN)
                else:
                    self.forward(body)

            def forward(self, body: bytes) -> None:
                with contextlib.closing(http.client.HTTPConnection(upstream, timeout=150)) as connection:
                    connection.request(self.command, self.path, body or None, dict(self.headers))
                    response = connection.getresponse()
                    data = response.read()
                    self.answer(response.status, dict(response.getheaders()), data)

            def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
                self.send_response(status)
                dropped = {"transfer-encoding", "connection", "date", "server"}
                if self.command != "HEAD":
                    dropped.add("content-length")
                for name, value in headers.items():
                    if name.lower() not in dropped:
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815 names that http.server asks for

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def refuses(self, kind: str) -> bool:
        """Whether such a request is refused; it is counted as what it is."""
        with self._lock:
            refused = self._refuses and kind == "PUT"
            self.seen["refused" if refused else kind] += 1
            if kind == "PUT":
                self.times.append(time.monotonic())
            return refused

    def relent(self) -> tuple[int, list[float]]:
        """Refuse no more; how many were refused, and when."""
        with self._lock:
            self._refuses = False
            return self.seen["refused"], list(self.times)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=[503, 429])
def busy(request: pytest.FixtureRequest, seaweedfs: S3Server) -> Iterator[Busy]:
    made = Busy(seaweedfs, request.param)
    yield made
    made.close()


def test_a_storm_is_waited_out(ground: Ground, seaweedfs: S3Server, busy: Busy) -> None:
    begun = time.monotonic()
    source = ground.posix("lab")
    prefix = ground.s3("far", seaweedfs, busy.url)
    for number in range(FILES):
        (source / f"f{number}").write_bytes(random.Random(number).randbytes(1000))
    ground.start()
    transfer = ground.submit(*[(f"lab:/f{number}", f"far:/f{number}") for number in range(FILES)])
    _until_all_were_refused(ground, transfer)
    refused, times = busy.relent()
    first, last = min(times), max(times)
    rounds = 1 + int(last - first) // WISH  # all are asked again when the time has come, as was wished
    done = ground.settled(transfer)
    wrong: list[Any] = [] if done["state"] == "DONE" else [done]
    after = [when for when in busy.times if when > last]
    if refused > 1.1 * FILES * rounds:
        wrong.append(f"{refused} refused requests for {FILES} files")
    if len(after) > 1.1 * FILES:
        wrong.append(f"{len(after)} requests were needed for {FILES} files")
    if min(after) - first < WISH:
        wrong.append("somebody asked again before the time")
    listed = seaweedfs.client().list_objects_v2(Bucket=seaweedfs.bucket, Prefix=prefix)["KeyCount"]
    wrong += [] if listed == FILES else [f"{listed} objects"]
    record("faults.network", runs=refused, bad=len(wrong), seconds=time.monotonic() - begun, harm="SlowDown")
    assert wrong == []


def _until_all_were_refused(ground: Ground, transfer: str) -> None:
    end = time.monotonic() + 120
    files = ground.files(transfer)
    while not all(file["state"] == "WAITING" for file in files):
        assert time.monotonic() < end, ground.tell(transfer)
        time.sleep(0.05)
        files = ground.files(transfer)
    assert {file["cause"]["code"] for file in files} == {"throttled"}
