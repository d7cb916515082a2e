"""A bad network: a TCP proxy that breaks its connections once, after so many bytes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

ROOM: Final = 1 << 16  # bytes that wait to be passed on: who sends is not far ahead of what has come
RESET: Final = struct.pack("ii", 1, 0)  # for SO_LINGER: closing sends RST instead of FIN


class CuttingProxy:
    """Passes bytes on between clients and one server; the connection that brings byte ``cut_after`` is reset, once."""

    def __init__(self, upstream: str, cut_after: int) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._left: int | None = cut_after
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)  # of its connections as well
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, name="demo-proxy", daemon=True).start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream)
        except OSError:  # the server is away
            client.close()
            return
        back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        back.start()
        if _pass_on(client, server, self._count):
            _reset(client, server)
        back.join()
        client.close()
        server.close()

    def _count(self, count: int) -> bool:
        """Whether the connection is to be cut now."""
        with self._lock:
            if self._left is None:
                return False
            self._left -= count
            if self._left > 0:
                return False
            self._left = None
            return True


def _pass_on(source: socket.socket, sink: socket.socket, cut: Callable[[int], bool] = lambda count: False) -> bool:
    """Until one side ends (False) or ``cut`` says so (True)."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if cut(len(data)):
                return True
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    return False


def _reset(client: socket.socket, server: socket.socket) -> None:
    for side in (client, server):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()  # nobody reads from it but this thread, so it is closed at once
    with suppress(OSError):
        server.shutdown(socket.SHUT_RD)  # wakes the thread that reads the answer
    server.close()
