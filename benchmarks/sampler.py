"""A sampling profiler for the threads of this process, in this process.

Every few milliseconds it notes where each thread is, and whether the kernel had it running, asleep (a lock, a socket,
the interpreter lock) or waiting for a disk. Sleeping threads count as well: their time is latency. It needs the
interpreter lock to look, so lines at which threads hand that over are seen too often; CPU seconds are the kernel's.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

INTERVAL: Final = 0.005  # seconds
_CPU_EVERY: Final = 10  # samples
_IDLE: Final = {("thread.py", "_worker"), ("selectors.py", "select")}  # a thread without work
_OURS: Final = "/scigate/"


@dataclass(slots=True)
class Role:
    """What was seen of all threads with the same name but for their number."""

    samples: int = 0
    states: Counter[str] = field(default_factory=Counter)
    inclusive: Counter[str] = field(default_factory=Counter)
    exclusive: Counter[str] = field(default_factory=Counter)
    cpu: dict[int, float] = field(default_factory=dict)  # by thread id: seconds when first and last seen

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())


class Sampler:
    """Samples all other threads while its ``with`` block runs."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self.roles: dict[str, Role] = {}
        self.rounds = 0
        self._before: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._before = {id: _cpu_seconds(id) for id in map(_native, threading.enumerate())}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._ended.is_set():
            self._sample()
            due = max(due + self._interval, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
        self._read_cpu(list(threading.enumerate()))

    def _sample(self) -> None:
        threads = {thread.ident: thread for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if (thread := threads.get(ident)) and thread is not self._thread:
                self._note(self.roles.setdefault(role_of(thread.name), Role()), _native(thread), frame)
        if self.rounds % _CPU_EVERY == 0:
            self._read_cpu(list(threads.values()))
        self.rounds += 1

    def _note(self, role: Role, thread: int, frame: FrameType) -> None:
        if _place(frame) in _IDLE:
            return
        role.samples += 1
        role.states[_state(thread)] += 1
        ours = [found for found in _callers(frame) if _OURS in found.f_code.co_filename]
        role.inclusive.update({_function(found) for found in ours})
        role.exclusive[_innermost(frame, ours)] += 1

    def _read_cpu(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            id = _native(thread)
            role = self.roles.setdefault(role_of(thread.name), Role())
            role.cpu[id] = max(role.cpu.get(id, 0.0), _cpu_seconds(id) - self._before.get(id, 0.0))


def role_of(name: str) -> str:
    """A thread's name without its number, and without that of its pool."""
    return re.sub(r"[-_]?\d+(_\d+)?$", "", name)


def _native(thread: threading.Thread) -> int:
    return thread.native_id or 0


def _callers(frame: FrameType) -> Iterator[FrameType]:
    found: FrameType | None = frame
    while found:
        yield found
        found = found.f_back


def _place(frame: FrameType) -> tuple[str, str]:
    return Path(frame.f_code.co_filename).name, frame.f_code.co_name


def _function(frame: FrameType) -> str:
    file = frame.f_code.co_filename.rpartition(_OURS)[2] if _OURS in frame.f_code.co_filename else _place(frame)[0]
    return f"{file}:{frame.f_code.co_qualname}"


def _innermost(frame: FrameType, ours: list[FrameType]) -> str:
    """Where it is, and for a library's code which line of ours called it."""
    if not ours:
        return _function(frame)
    line = f"{_function(ours[0])}:{ours[0].f_lineno}"
    return line if ours[0] is frame else f"{line} → {_function(frame)}"


def _state(thread: int) -> str:
    try:
        stat = Path(f"/proc/self/task/{thread}/stat").read_text()
    except OSError:
        return "ended"
    letter = stat.rpartition(")")[2].split()[0]
    return {"R": "running", "S": "asleep", "D": "disk"}.get(letter, letter)


def _cpu_seconds(thread: int) -> float:
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0
