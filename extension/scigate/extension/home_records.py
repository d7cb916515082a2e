"""What this server has promised to send from its files or fetch to them, on disk, so that its next start goes on.

One folder, mode 0700: ``<id>.json`` is the promise, written durably before anything is asked of the gateway;
``<id>.done`` names what is being fetched and what has been, a line each. No token is in them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from scigate.gateway_api.client.download import sync_folder

from .home_routes import JOB

Kind = Literal["send", "fetch"]
Step = Literal["begun", "done"]
FINAL: Final = frozenset({"DONE", "FAILED", "CANCELLED"})


@dataclass
class Promise:
    """What was asked for and how far it is, as far as it must outlive this process."""

    kind: Kind
    files: list[tuple[str, str]]
    overwrite: str
    label: str | None
    key: str | None
    created: float
    not_before: str | None = None  # of what is sent, as the gateway is told
    deadline: str | None = None
    id: str = field(default_factory=lambda: JOB + secrets.token_hex(12))
    state: str = "ACTIVE"
    transfer: str | None = None  # of the gateway, for what is sent
    cause: dict[str, Any] | None = None
    failed: int = 0
    finished: float | None = None
    arrived: tuple[int, int, int, int] = (0, 0, 0, 0)  # once finished: files, of them done, bytes, of them moved


class Records:
    """The promises of one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, promise: Promise) -> None:
        """Write it so that not even a power cut loses it. ``OSError`` if that cannot be."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(promise.id)
        new = path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(asdict(promise), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(self._folder)

    def load(self) -> Iterator[Promise]:
        """All promises; what cannot be read is none."""
        for path in sorted(self._folder.glob(f"{JOB}*.json")):
            with suppress(OSError, ValueError, TypeError):
                found = json.loads(path.read_text("ascii"))
                yield Promise(**{**found, "files": [(source, target) for source, target in found["files"]]})

    def remove(self, id: str) -> None:
        for path in (self._path(id), self._done(id)):
            path.unlink(missing_ok=True)

    def note(self, id: str, step: Step, name: str) -> None:
        """This file is going to be fetched, where there was none; or it has been."""
        with suppress(OSError), self._done(id).open("a", encoding="ascii") as file:
            file.write(json.dumps([step, name]) + "\n")

    def noted(self, id: str, step: Step) -> set[str]:
        """The files of which this was noted."""
        found = set()
        with suppress(OSError):
            for line in self._done(id).read_text("ascii").splitlines():
                with suppress(ValueError):  # a kill may have cut a line off
                    noted, name = json.loads(line)
                    found |= {name} if noted == step else set()
        return found

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _done(self, id: str) -> Path:
        return self._folder / f"{id}.done"
