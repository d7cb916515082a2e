"""The demo's bad network really is bad, once."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

import pytest
from scigate.gateway_api.demo.proxy import CuttingProxy


def test_it_passes_bytes_on_resets_one_connection_and_then_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with CuttingProxy(f"http://127.0.0.1:{server.getsockname()[1]}", 1000) as proxy:
            address = ("127.0.0.1", urlsplit(proxy.url).port)
            with socket.create_connection(address, timeout=60) as first:
                first.sendall(b"x" * 600)
                assert _received(first, 600) == b"x" * 600
                first.sendall(b"y" * 600)
                with pytest.raises(ConnectionResetError):
                    _received(first, 600)
            with socket.create_connection(address, timeout=60) as second:
                second.sendall(b"z" * 5000)
                assert _received(second, 5000) == b"z" * 5000


def _echo(server: socket.socket) -> None:
    while True:
        try:
            side, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(side,), daemon=True).start()


def _answer(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := side.recv(65536):
            side.sendall(data)


def _received(side: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := side.recv(count - len(data))):
        data += more
    return data
