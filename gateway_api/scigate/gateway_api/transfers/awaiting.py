"""Waiting for the bytes of an upload that is still received, and for no longer than its sender sends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ..uploads.source import StagedSource
from ..uploads.staged import Starved
from .runtime import Runtime
from .tasks import Task

SILENCE: Final = 10.0  # seconds without a byte after which the slot is given to somebody else
LONGEST: Final = 60.0  # seconds that a sender who drips may hold a slot for one block
SLICE: Final = timedelta(milliseconds=500)  # so soon a wait sees that the file is told to stop


def growing_source(runtime: Runtime, task: Task) -> StagedSource | None:
    """The staging storage that the task's source is in, if that is an upload."""
    staging = runtime.receiving.source
    return staging if staging is not None and staging.name == task.source_storage else None


def is_growing(runtime: Runtime, task: Task) -> bool:
    """Whether the source is an upload that is not complete yet."""
    staging = growing_source(runtime, task)
    return staging is not None and not staging.is_complete(task.source_path)


def await_bytes(runtime: Runtime, task: Task, until: int) -> None:
    """Return when the source's first ``until`` bytes can be read. Raises ``Starved`` when they do not come."""
    if staging := growing_source(runtime, task):
        patience = _Patience()
        while (here := staging.wait(task.source_path, until, SLICE)) < until:
            runtime.may_go_on(task)
            runtime.progress.waits(task.held.seq)
            patience.require(here)
        _give_way(runtime, task, staging)


def _give_way(runtime: Runtime, task: Task, staging: StagedSource) -> None:
    """Return when the sender is not held up by us any more: its leg has the right of way. A slot is not kept for it
    either: raises ``Starved`` after a while."""
    begun = time.monotonic()
    while runtime.receiving.gives_way(task.source_path, task.held.size):
        runtime.may_go_on(task)
        runtime.progress.waits(task.held.seq)
        if time.monotonic() - begun > SILENCE:
            raise Starved
        staging.arrivals.wait_complete(task.source_path, SLICE)


def await_end(runtime: Runtime, task: Task) -> None:
    """Return when the source is complete: nothing may be published before. Raises ``Starved``."""
    if staging := growing_source(runtime, task):
        patience = _Patience()
        while not staging.wait_complete(task.source_path, SLICE):
            runtime.may_go_on(task)
            runtime.progress.waits(task.held.seq)
            patience.require(staging.arrived(task.source_path))


@dataclass(slots=True)
class _Patience:
    begun: float = field(default_factory=time.monotonic)
    seen: int = -1
    since: float = 0.0

    def require(self, here: int) -> None:
        now = time.monotonic()
        if here > self.seen:
            self.seen, self.since = here, now
        if now - self.since > SILENCE or now - self.begun > LONGEST:
            raise Starved
