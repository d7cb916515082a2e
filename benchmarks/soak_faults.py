"""What goes wrong during the soak: the gateway killed or frozen, connections to S3 reset, a disk that is full."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from scigate.gateway_api.demo.service import COMMAND
from scigate.storage_backends.testing.servers import free_ports

from .cases import BenchmarkFailed

FROZEN: Final = 5.0  # seconds that a stopped gateway sleeps
FULL: Final = 15.0  # seconds that the disk has no room
UP_IN: Final = 150.0  # seconds for a start
_RESET: Final = struct.pack("ii", 1, 0)  # for SO_LINGER: closing sends RST instead of FIN


class Life:
    """One gateway after the other on the same address, state and settings."""

    def __init__(self, config: Path, log: Path, port: int) -> None:
        self._command = [sys.executable, "-c", COMMAND, "serve", "--json", "--config", str(config)]
        if setpriv := shutil.which("setpriv"):  # it goes down with us, even when we are killed
            self._command = [setpriv, "--pdeathsig", "TERM", *self._command]
        self._log, self.url = log, f"http://127.0.0.1:{port}"
        self.number = 0
        self.process = self._start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> float:
        """``kill -9``, and a new one; seconds until that answers."""
        self.process.kill()
        self.process.wait()
        began = time.monotonic()
        self.process = self._start()
        return time.monotonic() - began

    def freeze(self) -> float:
        """``SIGSTOP``, and a while later ``SIGCONT``; seconds from then until it answers."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN)
        self.process.send_signal(signal.SIGCONT)
        began = time.monotonic()
        self._until_ready()
        return time.monotonic() - began

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self.number += 1
        with self._log.open("ab") as log:
            process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.process = process
        self._until_ready()
        return process

    def _until_ready(self) -> None:
        end = time.monotonic() + UP_IN
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.05)
        raise BenchmarkFailed(f"the gateway is not ready: {self._log.read_text(errors='replace')[-2000:]}")


class Network:
    """The connections between the gateway and an S3 server; all of them can be reset at once."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._lock, self._open = threading.Lock(), set[socket.socket]()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, name="network", daemon=True).start()

    def reset(self) -> float:
        """RST to the gateway on all that is open; how many there were is of no interest, 0 seconds is what it took."""
        with self._lock:
            sides = list(self._open)
        for side in sides:
            with suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.shutdown(socket.SHUT_RD)
            side.close()
        return 0.0

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._upstream) as server:
            with self._lock:
                self._open.add(client)
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()
        with self._lock:
            self._open.discard(client)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of a few MiB in memory, on ``folder``; None where we may not mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk: Path) -> float:
    """Leave no byte free on a disk for a while."""
    filler = disk / ".full"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            continue
    time.sleep(FULL)
    filler.unlink()
    return 0.0


def free_port() -> int:
    """A port that nobody has now, so that each life can have the same."""
    return free_ports(1)[0]


def settings(port: int, state: Path, token_hash: str, storages: dict[str, dict[str, object]], pulls: int) -> str:
    """The text of ``scigate.toml``."""
    lines = ["[gateway]", f"port = {port}", f"state_dir = {json.dumps(str(state))}"]
    lines += ["[limits]", "lease_seconds = 10", "reconcile_seconds = 15"]
    lines += ["[egress]", f'allow = ["127.0.0.1:{pulls}"]', "[users.soak]", f'token_hash = "sha256:{token_hash}"']
    for name, keys in storages.items():
        lines += [f"[storages.{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(part)}" for key, part in value.items()) + " }"
    return json.dumps(value)
