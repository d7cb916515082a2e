"""Senders of uploads: well-behaved ones over httpx, ill-behaved ones on a bare socket."""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..conftest import TOKENS, Running, serving, write_settings

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(**pairs: str | bytes) -> str:
    """Upload-Metadata of these pairs."""
    values = {key: value if isinstance(value, bytes) else value.encode() for key, value in pairs.items()}
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())


def create(client: httpx.Client, length: int | None, destination: str | None, **headers: str) -> str:
    """The URL path of a new upload."""
    announced = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    about = {} if destination is None else {"Upload-Metadata": metadata(destination=destination, overwrite="overwrite")}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post(UPLOADS, headers={**TUS, **announced, **about, **named})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def append(client: httpx.Client, url: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(url, content=data, headers={**BYTES, "Upload-Offset": str(offset), **named})


def offset(client: httpx.Client, url: str) -> int:
    answer = client.head(url, headers=TUS)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["Upload-Offset"])


def done(client: httpx.Client, url: str, seconds: float = 120) -> dict[str, Any]:
    """The upload once its file is at the storage."""
    return state(client, url, "DONE", seconds)


def state(client: httpx.Client, url: str, wanted: str, seconds: float = 120) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (upload := client.get(url).json())["state"] != wanted:
        assert time.monotonic() < end, upload
        time.sleep(0.02)
    return dict(upload)


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Wire:
    """One connection of ada's, on which anything can be sent."""

    def __init__(self, port: int, user: str = "ada") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._token = TOKENS[user]

    def head(self, method: str, path: str, **headers: str) -> None:
        """Send the first line and the headers."""
        given = {"Host": "localhost", "Authorization": f"Bearer {self._token}", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())

    def patch(self, path: str, offset: int, size: int | None, **headers: str) -> None:
        """Announce an append by tus of ``size`` bytes; None: in chunks."""
        length = {"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)}
        self.head("PATCH", path, **BYTES, **{"Upload-Offset": str(offset)}, **length, **headers)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str]]:
        """The next status and headers; what follows stays unread."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(1)
            assert piece, f"closed after {head!r}"
            head += piece
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }

    def is_closed(self) -> bool:
        """Wait for the other side to close."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def reset(self) -> None:
        """Cut the connection by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Cut the connection by FIN."""
        self.socket.close()


@pytest.fixture
def wire(gateway: Running) -> Iterator[Callable[[], Wire]]:
    """``wire()`` is a new connection."""
    opened: list[Wire] = []

    def connect(user: str = "ada") -> Wire:
        opened.append(Wire(gateway.service.port, user))
        return opened[-1]

    yield connect
    for one in opened:
        one.socket.close()


def staged(running: Running) -> list[Path]:
    """What is on the gateway's disk."""
    return [path for path in (running.folder / "state" / "staging").rglob("*") if path.is_file()]


def gateway_with(folder: Path, extra: str) -> AbstractContextManager[Running]:
    """A gateway of its own, with these settings."""
    return serving(write_settings(folder, extra))


def data(size: int) -> bytes:
    return os.urandom(size)
