"""A client that sends a file with as little work as possible, so that the server is what is measured."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scigate.storage_backends.backend import KiB

from .cases import BenchmarkFailed
from .gateway import RunningGateway

TUS: Final = {"Tus-Resumable": "1.0.0"}
PACED: Final = 256 * KiB  # at a time, when the client is to be slow


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """``last_byte`` is when the last byte was handed to the kernel, by the monotonic clock."""

    answer: Answer
    last_byte: float


class Connection:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._headers = {"Host": f"127.0.0.1:{port}", **(headers or {})}

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A request without a body."""
        self._begin(method, path, {**(headers or {}), "Content-Length": "0"})
        return self._answer(method)

    def send(
        self, method: str, path: str, file: Path, headers: Mapping[str, str] | None = None, *,
        offset: int = 0, count: int | None = None, rate: float | None = None,
    ) -> Sent:  # fmt: skip
        """A request with a part of a file as its body; ``rate`` bytes per second at most, without it all that goes."""
        count = file.stat().st_size - offset if count is None else count
        self._begin(method, path, {**(headers or {}), "Content-Length": str(count)})
        began = time.monotonic()
        with file.open("rb") as body:
            for start in range(0, count, PACED) if rate else (0,):
                length = min(PACED, count - start) if rate else count
                self._socket.sendfile(body, offset + start, length)
                if rate:
                    time.sleep(max(0.0, began + (start + length) / rate - time.monotonic()))
        last_byte = time.monotonic()
        return Sent(self._answer(method), last_byte)

    def _begin(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        fields = [f"{name}: {value}" for name, value in {**self._headers, **headers}.items()]
        self._socket.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode())

    def _answer(self, method: str) -> Answer:
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        body = answer.read()
        if answer.status >= 300:
            raise BenchmarkFailed(f"{method} was answered {answer.status}: {body.decode(errors='replace')[:1000]}")
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class Tus:
    """A tus client of a gateway."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._connection = Connection(urlsplit(gateway.url).port or 80, {"Authorization": f"Bearer {gateway.token}"})

    def __enter__(self) -> Tus:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__()

    def create(self, size: int, destination: str | None) -> str:
        """The path of a new upload; without a destination it is a part of one that never comes."""
        headers = {**TUS, "Upload-Length": str(size)}
        if destination is None:
            headers["Upload-Concat"] = "partial"
        else:
            headers["Upload-Metadata"] = f"destination {base64.b64encode(destination.encode()).decode()}"
        return urlsplit(self._connection.ask("POST", "/api/v1/uploads", headers).headers["location"]).path

    def append(self, upload: str, file: Path, *, piece: int | None = None, rate: float | None = None) -> Sent:
        """All of a file, in requests of ``piece`` bytes (None: in one)."""
        size = file.stat().st_size
        headers = {**TUS, "Content-Type": "application/offset+octet-stream"}
        for offset in range(0, size, piece or size):
            own = {**headers, "Upload-Offset": str(offset)}
            count = min(piece or size, size - offset)
            sent = self._connection.send("PATCH", upload, file, own, offset=offset, count=count, rate=rate)
        return sent

    def show(self, upload: str) -> dict[str, Any]:
        """The upload with both its legs."""
        shown: dict[str, Any] = json.loads(self._connection.ask("GET", upload).body)
        return shown

    def end(self, upload: str) -> None:
        self._connection.ask("DELETE", upload, TUS)
