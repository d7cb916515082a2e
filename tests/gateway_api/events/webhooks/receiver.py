"""A receiver of webhooks on loopback, as somebody else would write it: it verifies signatures by its own code."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.processes import free_port

PATIENCE = 120.0  # seconds; only a failing test waits for so long
Answer = Callable[["Request"], None]


@dataclass
class Message:
    """A message as it came."""

    id: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed(self, secret: str) -> bool:
        """Standard Webhooks 1.0: HMAC-SHA256 of "id.timestamp.body", and a timestamp of now."""
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        stamp = self.headers["webhook-timestamp"]
        content = b".".join([self.headers["webhook-id"].encode(), stamp.encode(), self.body])
        expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        given = [part.split(",", 1) for part in self.headers["webhook-signature"].split(" ")]
        fresh = abs(time.time() - int(stamp)) < 300
        return fresh and any(name == "v1" and hmac.compare_digest(value, expected) for name, value in given)


class Request(http.server.BaseHTTPRequestHandler):
    """One POST; how it is answered is the receiver's ``answer``."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.message = Message(headers.get("webhook-id", ""), headers, body)
        receiver = self.server.receiver
        with receiver.lock:
            receiver.messages.append(self.message)
        with contextlib.suppress(OSError):
            receiver.answer(self)

    def do_GET(self) -> None:
        self.server.receiver.followed += 1
        self.say(200)

    def say(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        if 200 <= status < 300:
            with self.server.receiver.lock:
                self.server.receiver.accepted.append(self.message)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, *_: object) -> None:
        """A client that breaks off is no news."""


def accept(request: Request) -> None:
    request.say(200)


class Receiver:
    """Listens from the start; ``stop`` and ``start`` make it die and come back at the same port, which nobody takes
    meanwhile."""

    def __init__(self, answer: Answer = accept, port: int = 0) -> None:
        self.port, self.answer = port or free_port(), answer
        self.messages: list[Message] = []
        self.accepted: list[Message] = []
        self.followed = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=in-the-url"

    def start(self) -> None:
        server = _Server(("127.0.0.1", self.port), Request)
        self._server, self.port, server.receiver = server, server.server_port, self
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hang(self, _: Request) -> None:
        """Say nothing until the test is over."""
        self.stopped.wait(PATIENCE)

    def ids(self) -> list[int]:
        """The ids of the accepted events, each when it first came."""
        with self.lock:
            return list(dict.fromkeys(int(message.event["id"]) for message in self.accepted))


def says(status: int, **headers: str) -> Answer:
    """Always the same answer."""
    return lambda request: request.say(status, {name.replace("_", "-"): value for name, value in headers.items()})


def until(condition: Callable[[], Any], what: str = "it happens", seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` is true, and return what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} seconds until {what}"
        time.sleep(0.02)
    return found
