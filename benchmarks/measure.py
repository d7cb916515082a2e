"""What a run costs: time, CPU seconds and memory of a process and those it started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import psutil

SAMPLE: Final = 0.02  # seconds between two looks at the memory; the kernel keeps the peak, so only the last is lost
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: seconds until it said that it is done, CPU seconds (user and system), largest resident bytes.

    ``durable``: seconds until the files are on the medium as well; equal to ``wall`` for who makes them durable.
    """

    wall: float
    cpu: float
    rss: int
    durable: float


class MemoryPeak:
    """The largest resident size that a process and its children had, in bytes: the sum of the kernel's own peaks."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-peak", daemon=True)

    @property
    def bytes(self) -> int:
        return sum(self._peaks.values())

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE):
            self._look()

    def _look(self) -> None:
        for pid in tree(self._pid):
            if peak := peak_of(pid):
                self._peaks[pid] = peak


def tree(pid: int) -> Iterator[int]:
    """A process and all below it, as far as they live."""
    yield pid
    try:
        children = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return  # it has just ended
    for child in chain.from_iterable(children):
        yield from tree(int(child))


def peak_of(pid: int) -> int | None:
    """The largest resident size of a living process, in bytes; None when it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, its ended children and its living ones."""
    total = 0.0
    for each in tree(pid):
        times = psutil.Process(each).cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def read(self) -> float:
        return time.perf_counter() - self._started


def run_measured(command: Sequence[str], environment: Mapping[str, str], log: Path) -> tuple[int, Figures]:
    """Run a program to its end: exit code, and what it took from its start to its exit."""
    if setpriv := shutil.which("setpriv"):  # it goes down with us, even when we are killed
        command = [setpriv, "--pdeathsig", "KILL", *command]
    with log.open("wb") as out:
        watch = Stopwatch()
        process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        with MemoryPeak(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)
            wall = watch.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, Figures(wall, usage.ru_utime + usage.ru_stime, peak.bytes, wall)
