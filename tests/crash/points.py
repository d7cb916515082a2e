"""What happens at the named points: the process dies there, stands still, or takes note.

A plan is written as one line, as the nursery takes it: ``kill NAME N``, ``stop NAME N``, ``record FILE``, or several
of them with ``; `` between. In NAME, ``*`` stands for anything, so that ``kill * 3`` dies at the third point that is
reached, whichever it is.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from scigate.storage_backends.crash_points import Plan


class _At:
    """Does something to this process when a point is reached for the n-th time."""

    number: signal.Signals

    def __init__(self, name: str, occurrence: int = 1) -> None:
        self.name, self.occurrence = name, occurrence
        self._left = occurrence
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if not fnmatchcase(name, self.name):
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.write(2, f"--- {self.number.name} at {name}, reached {self.occurrence} times\n".encode())
                # For the whole process, but by this thread: else it would run on until another one has heard of it.
                signal.pthread_kill(threading.get_ident(), self.number)


class KillAt(_At):
    """kill -9, at the n-th time."""

    number = signal.SIGKILL

    def __str__(self) -> str:
        return f"kill {self.name} {self.occurrence}"


class StopAt(_At):
    """SIGSTOP, at the n-th time; goes on with SIGCONT."""

    number = signal.SIGSTOP

    def __str__(self) -> str:
        return f"stop {self.name} {self.occurrence}"


class Record:
    """Writes down every point reached, one line each, so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, name: str) -> None:
        os.write(self._file, f"{name}\n".encode())

    def __str__(self) -> str:
        return f"record {self.path}"


class Both:
    """One plan, and then another."""

    def __init__(self, *plans: Plan) -> None:
        self.plans = plans

    def __call__(self, name: str) -> None:
        for plan in self.plans:
            plan(name)

    def __str__(self) -> str:
        return "; ".join(map(str, self.plans))


def plan_of(line: str) -> Plan:
    """The plan that ``str`` of it wrote."""
    if "; " in line:
        return Both(*map(plan_of, line.split("; ")))
    kind, _, rest = line.partition(" ")
    if kind == "record":
        return Record(Path(rest))
    name, occurrence = rest.rsplit(" ", 1)
    return {"kill": KillAt, "stop": StopAt}[kind](name, int(occurrence))


def counts(record: Path) -> Counter[str]:
    """How often each point was reached."""
    return Counter(record.read_text().splitlines()) if record.exists() else Counter()
