"""The storages of the settings, opened when first asked for, each with its layers; one that is broken stays alone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from scigate.storage_backends.backend import Backend, Limits
from scigate.storage_backends.errors import Misconfigured, NotFound, NotRegular, StorageError, Unsupported
from scigate.storage_backends.layers import Meter, compose
from scigate.storage_backends.registry import BackendRegistry

from .background import Background
from .problems import cause_of
from .resources import Cause, Space, StorageState
from .settings import StorageSection

log = logging.getLogger(__name__)
STAGING: Final = "staging"
"""The storage of uploads on their way; users can neither see nor name it."""

INTERNAL: Final = "internal"
FRESH: Final = timedelta(seconds=20)
PATIENCE: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """A storage ready for use: ``backend`` is composed with its layers; ``meter`` has counted what it did."""

    name: str
    type: str
    backend: Backend
    meter: Meter
    settings: StorageSection
    limits: Limits
    root_url: str | None = None
    """The storage's own URL of its root, ending in ``/``."""


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """What the last look at a storage showed."""

    state: StorageState
    cause: Cause | None = None
    space: Space | None = None


UNKNOWN: Final = StorageStatus(StorageState.UNKNOWN)


class Storages:
    """All storages by name. Thread-safe."""

    def __init__(
        self,
        sections: dict[str, StorageSection],
        registry: BackendRegistry,
        internal: Mapping[str, Backend] | None = None,
    ) -> None:
        self._sections = dict(sections)
        self._registry = registry
        self._open = {name: _internal(name, backend) for name, backend in (internal or {}).items()}
        self._lock = threading.Lock()
        self._probes = Probes(self._probe)

    def names(self) -> list[str]:
        """The storages of the settings; internal ones are not listed."""
        return sorted(self._sections)

    def section(self, name: str) -> StorageSection | None:
        """The settings of a listed storage; None if there is none of this name."""
        return self._sections.get(name)

    def get(self, name: str) -> OpenStorage:
        """Open the storage, or return the one that is open. ``NotFound`` for an unknown name, ``Misconfigured`` when
        its settings or its plug-in cannot work. Never touches the network, and waits for nobody if ``is_open``."""
        if found := self._open.get(name):
            return found
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(name)
            return self._open[name]

    def is_open(self, name: str) -> bool:
        """Whether it has been used already."""
        return name in self._open

    def opened(self) -> list[OpenStorage]:
        """Those that have been used so far."""
        with self._lock:
            return list(self._open.values())

    def status(self, name: str) -> StorageStatus:
        """Whether the storage answers: from the last look if it is fresh, else from a new one, with little patience."""
        return self._probes.status(name)

    def last_status(self, name: str) -> StorageStatus:
        """What the last look at it showed, however long ago."""
        return self._probes.last(name)

    def look_at_all(self) -> None:
        """Begin to look at every listed storage, and log those that do not answer; waits for none."""
        self._probes.begin(self.names())

    def close(self) -> None:
        """Stop looking at storages."""
        self._probes.close()

    def _opened(self, name: str) -> OpenStorage:
        section = self._sections.get(name)
        if section is None:
            raise NotFound(f"there is no storage {name!r}", next_step="List the storages with 'scigate ls'.")
        kind = self._registry.get(section.type)
        if section.options is None:
            raise Misconfigured(f"the options of the storage {name!r} were not read: its plug-in was broken at start")
        meter = Meter()
        backend = _composed(kind.build(section.options), section, meter)
        return OpenStorage(name, section.type, backend, meter, section, backend.limits, section.options.root_url)

    def _probe(self, name: str) -> StorageStatus:
        try:
            backend = self.get(name).backend
            check_answers(backend)
            return StorageStatus(StorageState.UP, space=_space(backend))
        except StorageError as error:
            return StorageStatus(StorageState.DOWN, cause_of(error))


def _internal(name: str, backend: Backend) -> OpenStorage:
    """A storage of the gateway's own, which no settings describe and no user may name."""
    meter = Meter()
    section = StorageSection(type=INTERNAL, users=())
    return OpenStorage(name, INTERNAL, compose(backend, meter=meter), meter, section, backend.limits)


def check_answers(backend: Backend) -> None:
    """Raise a ``StorageError`` unless the storage answers. One without folders may say so of its root, or that
    nothing is there: then it has answered."""
    try:
        backend.stat("")
    except (NotFound, NotRegular, Unsupported):
        if backend.limits.listable:
            raise


def _space(backend: Backend) -> Space | None:
    """How much room there is; None for a storage that cannot tell (some network file systems say 0 of 0)."""
    free, total = backend.extras.free, backend.extras.total
    if free is None or total is None or not (size := total()):
        return None
    return Space(total=size, free=min(free(), size))


def _composed(backend: Backend, section: StorageSection, meter: Meter) -> Backend:
    """With the layers that the settings ask for.

    No limit on requests at once: a read holds its place until it ends, so transfers from A to B and from B to A could
    each wait for a place that the other holds. The scheduler bounds how much moves at a storage.
    """
    return compose(backend, min_rate=section.min_rate, meter=meter, read_only=section.read_only, hidden=section.hidden)


class Probes:
    """Looks at storages in threads of its own, so that one that hangs keeps nobody waiting for long."""

    def __init__(self, look: Callable[[str], StorageStatus]) -> None:
        self._look = look
        self._background = Background(8, "probe")
        self._lock = threading.Lock()
        self._running: dict[str, Future[StorageStatus]] = {}
        self._seen: dict[str, tuple[float, StorageStatus]] = {}

    def status(self, name: str) -> StorageStatus:
        with self._lock:
            when, last = self._seen.get(name, (float("-inf"), UNKNOWN))
            if time.monotonic() - when < FRESH.total_seconds():
                return last
            running = self._begun(name)
        try:
            return running.result(PATIENCE.total_seconds())
        except NotYet:
            return StorageStatus(StorageState.UNKNOWN, last.cause, last.space)

    def last(self, name: str) -> StorageStatus:
        """What is known without a look."""
        with self._lock:
            return self._seen.get(name, (0.0, UNKNOWN))[1]

    def begin(self, names: Iterable[str]) -> None:
        """Look at these, without waiting."""
        with self._lock:
            for name in names:
                self._begun(name)

    def close(self) -> None:
        self._background.close()

    def _begun(self, name: str) -> Future[StorageStatus]:
        if name not in self._running:
            self._running[name] = self._background.submit(partial(self._look_and_remember, name))
        return self._running[name]

    def _look_and_remember(self, name: str) -> StorageStatus:
        try:
            status = self._look(name)
            with self._lock:
                before = self._seen.get(name, (0.0, UNKNOWN))[1]
                self._seen[name] = (time.monotonic(), status)
            _log_change(name, before, status)
            return status
        finally:
            with self._lock:
                self._running.pop(name, None)


def _log_change(name: str, before: StorageStatus, now: StorageStatus) -> None:
    if now.state is before.state:
        return
    if now.state is StorageState.DOWN and now.cause is not None:
        log.warning("storage %r cannot be used: %s. %s", name, now.cause.message, now.cause.next_step)
    elif before.state is StorageState.DOWN:
        log.info("storage %r can be used again", name)
