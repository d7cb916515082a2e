"""An engine as a process of its own, to be killed or stopped: ``engine_process.py '{"url": …, "folder": …}'``.

It runs until a line comes on its standard input, then prints its peak memory (KiB) and ends gracefully.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scigate.gateway_api.db.database import Database
from scigate.gateway_api.transfers.engine import Engine, EngineSettings
from scigate.gateway_api.transfers.scheduler import SlotLimits
from scigate.storage_backends.backend import Backend, Buffer, MiB
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.layers import Layer, compose
from scigate.storage_backends.registry import BackendRegistry

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.sending import Sender


class Slow(Layer):
    """Every MiB that is read takes ``delay`` seconds, and a small file no less than a tenth of it."""

    extras = Layer.wrapped  # type: ignore[assignment]
    delay = 0.0

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        for buffer in start():
            time.sleep(self.delay * max(len(buffer) / MiB, 0.1))
            yield buffer


def main(given: dict[str, Any]) -> None:
    Slow.delay = given.get("delay", 0.0)
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
    tell("started")
    sys.stdin.readline()
    tell(peak_memory())
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


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _no_url(url: str) -> tuple[Backend, str]:
    raise NotFound(url)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
