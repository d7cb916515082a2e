"""Counts, on the wire, the bytes of one large file whose gateway is killed several times on the way."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Self

from . import checker
from .case import Case, Operation, Piece
from .ground import LONG_LEASE, World
from .history import History
from .process import GatewayProcess, Nursery
from .sending import all_finished, submit

RATE: Final = 40_000_000  # bytes a second that come through: a kill shall fall between two blocks
STREAMS: Final = 4  # limits.streams of the gateway: blocks of one file that are moved at once
PART: Final = 5 << 20  # bytes of a block, as the settings of these storages say
IN_FLIGHT: Final = (STREAMS + 2) * PART  # one more may be done and not recorded, and one more be asked for ahead
WORDS: Final = 200_000  # bytes of requests, headers and marks that no file holds, for each life of a gateway
PATIENCE: Final = 480.0


class Meter:
    """A TCP proxy in front of a server on this machine; counts what is sent to it (``up``) and by it (``down``)."""

    def __init__(self, port: int) -> None:
        self._server, self._lock = port, threading.Lock()
        self._free_at = 0.0
        self.up = self.down = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for source, target, up in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(source, target, up), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._count(len(data), up=up)
                target.sendall(data)
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _count(self, length: int, *, up: bool) -> None:
        with self._lock:
            self.up, self.down = self.up + length * up, self.down + length * (not up)
            self._free_at = max(self._free_at, time.monotonic()) + length / RATE
            wait = self._free_at - time.monotonic()
        time.sleep(max(0.0, wait))


class Resent:
    """One file from a web server to S3, both behind a meter."""

    def __init__(self, world: World, nursery: Nursery, seed: int, mutant: str = "") -> None:
        self._world, self._nursery, self._mutant = world, nursery, mutant
        self._rng = random.Random(seed)
        self._history = History(world.folder / "history.jsonl")
        self._lost = 0  # bytes that were read and not recorded when a gateway died

    def violations(self, kills: int) -> list[str]:
        """Kill the gateway so often on the way; what was sent again that need not have been."""
        s3 = int(self._world.bucket.endpoint.rpartition(":")[2])
        with Meter(self._world.ground.web_port) as web, Meter(s3) as store:
            self._redirect({self._world.ground.web_port: web.port, s3: store.port})
            operation = self._operation(web.port)
            found = [*self._kill(kills, operation, web), *self._finish()]
            size, words = operation.pieces[0].new.size, (kills + 1) * WORDS
            if web.down > size + self._lost + words:
                again = web.down - size - self._lost
                found.append(f"I10 {again} bytes were read again although their blocks had been recorded")
            if store.up > size + kills * IN_FLIGHT + words:
                found.append(f"I10 {store.up} bytes were sent to the storage for {size} and {kills} kills")
        self._history.close()
        folders = (str(self._world.state / "staging"), str(self._world.state / "workers"))
        case = Case(self._world.database, self._world.bucket, (), *folders, [operation])
        return [*found, *checker.check(case, self._history.acknowledged)]

    def _redirect(self, ports: dict[int, int]) -> None:
        text = self._world.config.read_text()
        for old, new in ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        self._world.config.write_text(text)
        self._world.lease(LONG_LEASE)  # what is begun anew is sent again

    def _operation(self, port: int) -> Operation:
        content = self._world.ground.contents["large-80.bin"]
        piece = Piece("cloud", "whole.bin", self._world.key("whole.bin"), True, content)
        files = [(f"http://127.0.0.1:{port}/large-80.bin", "cloud:/whole.bin")]
        return Operation("resent", "pull", [piece], files)

    def _kill(self, kills: int, operation: Operation, web: Meter) -> list[str]:
        """Each gateway reads some of it and dies. What had been recorded by then is never read again."""
        found: list[str] = []
        recorded = 0
        for number in range(kills):
            begun = web.down
            gateway = self._nursery.start(self._world.config, self._world.folder / "gateway.log", self._mutant)
            if not number:
                submit(self._world.port, self._history, operation)
            enough = begun + self._rng.randrange(4 * PART, 6 * PART)
            _until(partial(_has_read, web, enough, gateway), "some of it is read")
            gateway.kill()
            time.sleep(0.3)  # what is on the wire arrives
            before, recorded = recorded, checker.recorded(self._world.database)
            lost = web.down - begun - (recorded - before)
            self._lost += lost
            if lost > IN_FLIGHT + WORDS:
                found.append(f"I10 a kill cost {lost} bytes, more than the parts in flight ({IN_FLIGHT})")
        return found

    def _finish(self) -> list[str]:
        gateway = self._nursery.start(self._world.config, self._world.folder / "gateway.log", self._mutant)
        try:
            _until(lambda: all_finished(self._world.port, self._history), "the file is there")
        except TimeoutError as error:
            return [f"I0 {error}"]
        finally:
            stopped = gateway.stop()
            gateway.kill()
        return [] if stopped else ["I0 the gateway did not stop when asked to"]


def _has_read(web: Meter, enough: int, gateway: GatewayProcess) -> bool:
    return web.down >= enough or not gateway.runs()


def _until(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come to pass within {PATIENCE} s that {what}")
        time.sleep(0.01)
