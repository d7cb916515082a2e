"""How the gateway is, from what its parts say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from scigate.storage_backends.registry import BackendRegistry

from .db.database import DatabaseUnavailable
from .problems import Problem
from .resources import Check, Feedback, Status, StorageState
from .storages import Storages


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the running engine tells; ``failure`` is why it does not run, if so. ``threads``: whether other parts that
    have to run do, by name. ``database`` raises ``DatabaseUnavailable`` unless it answers."""

    workers: int
    active: Callable[[], int]
    failure: Callable[[], str | None]
    threads: Callable[[], Mapping[str, bool]]
    database: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What dashboards show: people here, bytes per second now, where storages come from, where to write to."""

    users: Callable[[], int]
    rate: Callable[[], float]
    registry: str
    feedback: Feedback


class Health:
    """Looks at database, engine and storages. Never raises."""

    def __init__(
        self,
        storages: Storages,
        registry: BackendRegistry,
        counts: Callable[[], Mapping[str, int]],
        staged: Callable[[], tuple[int, int]],
        vitals: Vitals,
        *,
        numbers: Numbers,
    ) -> None:
        self._storages, self._registry, self._counts, self._staged = storages, registry, counts, staged
        self._vitals, self._numbers = vitals, numbers
        self._started, self._version = datetime.now(UTC), version("scigate")

    def status(self, names: Iterable[str], *, details: bool) -> Status:
        """With the storages of these names; ``details`` are for admins: counts of everybody's files, plug-ins."""
        database, counts = self._database(details)
        checks = [database, self._engine(), *self._threads(), self._uploads(), *map(self._storage, names)]
        return Status(
            version=self._version,
            time=datetime.now(UTC),
            started=self._started,
            ok=all(check.ok for check in checks),
            checks=checks,
            broken_plugins=dict(self._registry.broken) if details else {},
            files=dict(counts) if details else {},
            workers=self._vitals.workers,
            active=self._vitals.active(),
            users_active=self._numbers.users(),
            rate=self._numbers.rate(),
            registry=self._numbers.registry,
            feedback=self._numbers.feedback,
        )

    def check_ready(self) -> None:
        """Raise a ``Problem`` 503 unless requests can be served and transfers move."""
        for check in (self._database(counted=False)[0], self._engine(), *self._threads()):
            if not check.ok:
                raise Problem(
                    503, "not-ready", "The gateway is not ready.", detail=check.message, retriable=True,
                    next_step=check.next_step or "Try again in a minute.",
                )  # fmt: skip

    def _database(self, counted: bool) -> tuple[Check, Mapping[str, int]]:
        """Whether it answers; to count the files of all transfers takes its time when there are many."""
        try:
            self._vitals.database()
            counts = self._counts() if counted else {}
        except DatabaseUnavailable as error:
            step = "Start the database, or correct [database] in scigate.toml."
            return Check(name="database", ok=False, message=f"{error}", next_step=step), {}
        return Check(name="database", ok=True, message="It answers."), counts

    def _engine(self) -> Check:
        failure = self._vitals.failure()
        if failure is None:
            return Check(name="engine", ok=True, message=f"It runs with {self._vitals.workers} workers.")
        return Check(name="engine", ok=False, message=failure, next_step="Restart the gateway.")

    def _threads(self) -> list[Check]:
        return [_thread(name, alive) for name, alive in self._vitals.threads().items()]

    def _uploads(self) -> Check:
        used, quota = self._staged()
        message = f"{used} of {quota} bytes for uploads are in use."
        step = "Wait, or raise limits.staging_quota in scigate.toml."
        return Check(name="uploads", ok=used < quota, message=message, next_step=step if used >= quota else None)

    def _storage(self, name: str) -> Check:
        status = self._storages.status(name)
        if status.state is not StorageState.DOWN:
            message = "It answers." if status.state is StorageState.UP else "It has not been seen yet."
            return Check(name=f"storage {name}", ok=True, message=message)
        message = status.cause.message if status.cause else "It does not answer."
        step = status.cause.next_step if status.cause else None
        return Check(name=f"storage {name}", ok=False, message=message, next_step=step)


def _thread(name: str, alive: bool) -> Check:
    if alive:
        return Check(name=name, ok=True, message="They are delivered.")
    message = "They are not delivered any more: a part of the gateway has ended by a mistake of ours."
    return Check(name=name, ok=False, message=message, next_step="Restart the gateway, and report its log.")
