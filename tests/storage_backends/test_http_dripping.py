"""A web server that gives a byte now and then is not waited for, wherever its bytes would go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scigate.storage_backends.errors import Unreachable
from scigate.storage_backends.http import UrlSource, redirects_within
from scigate.storage_backends.layers import Meter, compose
from scigate.storage_backends.pace import Pace
from scigate.storage_backends.web_url import parse_web_url
from scigate.storage_backends.wire import Pool

SIZE = 1_000_000


@pytest.fixture
def dripping() -> Iterator[str]:
    """The URL of a file whose server knows ranges only if its name begins with ``ranges``."""
    stopped = threading.Event()

    class Drips(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(SIZE))
            self.end_headers()

        def do_GET(self) -> None:
            asked = self.headers.get("Range") if self.path.startswith("/ranges") else None
            self.send_response(206 if asked else 200)
            first, last = asked.removeprefix("bytes=").split("-") if asked else (0, SIZE - 1)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
            self.send_header("Content-Length", str(int(last) - int(first) + 1))
            self.end_headers()
            with suppress(OSError):
                while not stopped.wait(0.02):
                    self.wfile.write(b"s")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Drips) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        stopped.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "offset"),
    [("ranges", 0), ("ranges", 500_000), ("whole", 0), ("whole", 500_000)],  # the last one is skipped to
)
def test_a_source_that_drips_is_unreachable(dripping: str, name: str, offset: int) -> None:
    pool = Pool(pace=Pace(1000, timedelta(seconds=0.5)))
    url, meter = UrlSource(parse_web_url(f"{dripping}/{name}"), pool, redirects_within(())), Meter()
    source = compose(url, meter=meter)
    assert source.stat(url.path).size == SIZE
    with pytest.raises(Unreachable, match=r"stalled: [0-9]+ bytes in [1-9][0-9]* seconds, and 1000 bytes per second"):
        list(source.read(url.path, offset, 100_000))
    assert meter.totals()["read"].errors == {"unreachable": 1}
