"""Who moves the files: SciGate with all that it promises, and rclone as it comes or with flags that make it fast."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from scigate.gateway_api.client import Gateway, TransferHandle
from scigate.gateway_api.resources import TransferState
from scigate.storage_backends.backend import KiB, MiB
from scigate.storage_backends.testing.servers import program

from .cases import DATA, INSIDE, BenchmarkFailed, Case
from .gateway import DESTINATION, SOURCE, gateway
from .measure import Figures, MemoryPeak, Stopwatch, cpu_of, run_measured
from .places import Place

POLL: Final = 0.02  # seconds between two looks near the end of a transfer, which is how exactly its end is seen
WARM_UP: Final = {"warm-up/small": 4 * KiB, "warm-up/large": 9 * MiB}  # files that every source holds beside the data

RCLONE_FLAGS: Final = (
    "--transfers=32",
    "--checkers=32",
    "--multi-thread-streams=4",
    "--multi-thread-cutoff=64Mi",
    "--s3-upload-concurrency=4",
    "--s3-chunk-size=16Mi",
    "--s3-upload-cutoff=16Mi",
    "--s3-disable-http2",
    "--s3-no-check-bucket",
)
"""On top of rclone's defaults, which compare checksums after each copy wherever both sides have a common one.

Tried in this benchmark, and not faster: 16 transfers, no multi-thread copies or 2 streams, parts of 32 MiB, HTTP/2 left
on, unsigned payloads."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a case from a filled place to an empty one. ``folder`` is for the peer's own files."""

    case: Case
    source: Place
    destination: Place
    folder: Path


class Peer(Protocol):
    """Somebody who moves files."""

    name: str
    flags: tuple[str, ...]

    def cannot(self, case: Case) -> str | None:
        """Why it has no way to do this; None if it has."""
        ...

    def run(self, job: Job) -> Figures:
        """Move all of the job's files. ``BenchmarkFailed`` when they did not all arrive."""
        ...


class SciGate:
    """A running gateway, from the submit until the client sees DONE."""

    name = "scigate"
    flags: tuple[str, ...] = ()

    def cannot(self, case: Case) -> str | None:
        return None

    def run(self, job: Job) -> Figures:
        with (
            gateway(job.folder, job.source, job.destination) as running,
            Gateway(running.url, running.token, patience=timedelta(seconds=10)) as client,
        ):
            warm_up(client, job)
            before = cpu_of(running.pid)
            with MemoryPeak(running.pid) as peak:
                watch = Stopwatch()
                wait(client.copy(*ends(job)), watch)
                wall = watch.read()
            return Figures(wall, cpu_of(running.pid) - before, peak.bytes, wall)


def path_of(case: Case) -> str:
    """One file by its name, several by their folder."""
    return f"{DATA}/{next(case.load.names())}" if case.load.files == 1 else f"{DATA}/"


def ends(job: Job) -> tuple[str, str]:
    """Source and destination as the gateway knows them. Inside one S3 both are at one storage of the gateway."""
    return _pair(job, path_of(job.case))


def _pair(job: Job, path: str) -> tuple[str, str]:
    prefix = job.destination.prefix
    return f"{SOURCE}:/{path}", f"{SOURCE if prefix else DESTINATION}:/{prefix}{path}"


def warm_up(client: Gateway, job: Job) -> None:
    """Move two files that do not count: a service has loaded its libraries and made its connections."""
    wait(client.submit(_pair(job, name) for name in WARM_UP), Stopwatch())


def wait(handle: TransferHandle, watch: Stopwatch) -> None:
    """Until the client sees that the transfer has ended; asks seldom while the end is far."""
    while not handle.state.is_final:
        time.sleep(_pause(handle, watch.read()))
        handle.refresh()
    if handle.state is not TransferState.DONE:
        cause = handle.transfer.cause
        raise BenchmarkFailed(f"SciGate ended {handle.state}: {cause.message if cause else 'no cause given'}")


def _pause(handle: TransferHandle, elapsed: float) -> float:
    seen = handle.transfer
    if seen.listing or not 0 < seen.bytes_done < seen.bytes_total:
        return POLL
    left = elapsed * (seen.bytes_total / seen.bytes_done - 1)
    return min(max(POLL, left / 4), 10 * POLL)


class Rclone:
    """rclone, from the start of its process to its end."""

    def __init__(self, flags: Sequence[str] = RCLONE_FLAGS, name: str = "rclone") -> None:
        self.name = name
        self.flags = tuple(flags)
        self._program = str(program("rclone"))

    def cannot(self, case: Case) -> str | None:
        return None

    def run(self, job: Job) -> Figures:
        source = job.source.remote("src")
        destination = job.destination.remote("src" if job.case.destination == INSIDE else "dst")
        path = path_of(job.case).rstrip("/")
        command = [self._program, "--config=", *self.flags, "copyto", source.prefix + path, destination.prefix + path]
        environment = {**plain_environment(job.folder), **source.variables, **destination.variables}
        log = job.folder / "rclone.log"
        code, figures = run_measured(command, environment, log)
        if code != 0:
            raise BenchmarkFailed(f"rclone ended with {code}; it said:\n{log.read_text(errors='replace')[-4000:]}")
        return made_durable(figures, job.destination)

    def startup(self, folder: Path) -> float:
        """Seconds that the program takes to do nothing; part of each of its runs."""
        log = folder / "rclone.log"
        command = [self._program, "version"]
        return statistics.median(run_measured(command, plain_environment(folder), log)[1].wall for _ in range(5))


def plain_environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's own settings."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder)}


def made_durable(figures: Figures, destination: Place) -> Figures:
    """The others leave files in the page cache; SciGate says DONE when they are on the medium."""
    watch = Stopwatch()
    destination.flush()
    return Figures(figures.wall, figures.cpu, figures.rss, figures.wall + watch.read())
