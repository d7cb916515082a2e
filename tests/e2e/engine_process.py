"""An engine as a process of its own, to be killed or stopped.

The processes are forked by a server that has imported the product once, since an import takes longer than most of what
they are to do. An engine runs until something is sent to it; then it sends its peak memory (KiB) and ends gracefully.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from scigate.gateway_api.db.database import Database
from scigate.gateway_api.transfers import awaiting
from scigate.gateway_api.transfers.engine import Engine, EngineSettings
from scigate.gateway_api.transfers.scheduler import SlotLimits
from scigate.storage_backends.backend import Backend, Buffer, MiB
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.layers import Layer, compose
from scigate.storage_backends.registry import BackendRegistry

from tests.sending import Sender

_SERVER: Final = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([
    "scigate.gateway_api.transfers.engine", "scigate.gateway_api.uploads.source", "scigate.storage_backends.s3",
    "scigate.storage_backends.posix", "sqlalchemy.dialects.postgresql", "psycopg",
])  # fmt: skip


class EngineProcess:
    """An engine that runs when this returns. Raises ``EOFError`` if it could not start; its log says why."""

    def __init__(self, given: dict[str, Any], log: Path) -> None:
        self._ours, its = _SERVER.Pipe()
        self._process = _SERVER.Process(target=run, args=(its, log, given), daemon=True)
        self._process.start()
        its.close()
        assert self._ours.recv() == "started"

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def runs(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """kill -9, and wait until nothing is left of it."""
        self._process.kill()
        self._process.join()

    def end(self) -> int:
        """End it gracefully; the most memory that it ever had, in bytes."""
        self._ours.send("end")
        peak = int(self._ours.recv())
        self._process.join(240)
        assert self._process.exitcode == 0
        return peak * 1024


class Slow(Layer):
    """Every MiB that is read takes ``delay`` seconds, and a small file no less than a tenth of it. Behind
    ``held_at`` it is a second for each while there is the file ``hold``."""

    extras = Layer.wrapped  # type: ignore[assignment]
    delay, held_at = 0.0, 40 * MiB
    hold: Path | None = None

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        for buffer in start():
            time.sleep(self.delay * max(len(buffer) / MiB, 0.1))
            offset += len(buffer)
            if self.hold and offset > self.held_at:
                self._crawl(self.hold, len(buffer) / MiB)
            yield buffer

    def _crawl(self, hold: Path, seconds: float) -> None:
        end = time.monotonic() + seconds
        while hold.exists() and time.monotonic() < end:
            time.sleep(0.01)


def run(its: Connection, log: Path, given: dict[str, Any]) -> None:
    """The new process; who started it, or its end, is at the other end of ``its``."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1), os.dup2(out, 2)
    Slow.delay = given.get("delay", 0.0)
    Slow.hold = Path(given["hold"]) if "hold" in given else None
    awaiting.SILENCE = given.get("silence", awaiting.SILENCE)  # type: ignore[misc]
    registry = BackendRegistry()
    backends: dict[str, Backend] = {}
    for name, table in given["storages"].items():
        kind = registry.get(table.pop("type"))
        backends[name] = compose(Slow(kind.build(kind.options.model_validate(table))))
    settings = EngineSettings(
        SlotLimits(4, 4, 4), streams=given.get("streams", 2), lease=given.get("lease", 30.0), reconcile_every=0.3
    )
    database = Database(given["url"])
    sender = Sender(database, Path(given["staging"])) if "staging" in given else None
    if sender:
        backends[sender.gateway] = sender.source
    staging = sender.source if sender else None
    engine = Engine(database, backends.__getitem__, _no_url, settings, Path(given["folder"]), staging=staging)
    engine.start()
    if sender and "sends" in given:
        threading.Thread(target=send, args=(sender, engine), kwargs=given["sends"], daemon=True).start()
    its.send("started")
    with suppress(EOFError):
        its.recv()
        its.send(peak_memory())
    engine.stop()
    database.close()


def send(sender: Sender, engine: Engine, upload: str, data: str, rate: float, until: int) -> None:
    """Go on with an upload at ``rate`` MiB per second, up to ``until`` bytes; complete it if that is all."""
    with open(data, "rb") as source:
        source.seek(sender.folder.joinpath(upload).stat().st_size)
        while (left := until - source.tell()) > 0:
            sender.send(upload, source.read(min(left, MiB)))
            time.sleep(1 / rate)
        sender.record(upload)
        if not source.read(1):
            sender.complete(upload)
            engine.look()


def peak_memory() -> str:
    """In KiB. Not ``getrusage``: that begins with the memory of whoever started us."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmHWM:"))


def _no_url(url: str) -> tuple[Backend, str]:
    raise NotFound(url)
