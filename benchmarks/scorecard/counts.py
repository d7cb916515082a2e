"""Promises that are tried again and again: how often, and how often one was broken. From what the suites wrote down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from .verdict import Row, Verdict, judged


@dataclass(frozen=True)
class Total:
    """All that was written down of an area; ``seconds`` are those of the suites, which may run side by side."""

    runs: int = 0
    bad: int = 0
    seconds: float = 0.0
    commands: frozenset[str] = frozenset()
    commits: frozenset[str] = frozenset()

    def __add__(self, other: Total) -> Total:
        runs, bad, seconds = self.runs + other.runs, self.bad + other.bad, self.seconds + other.seconds
        return Total(runs, bad, seconds, self.commands | other.commands, self.commits | other.commits)


@dataclass(frozen=True)
class Promise:
    """``areas`` together are to be tried ``least`` times at least, and never broken. ``unit`` is what is counted."""

    group: str
    promise: str
    areas: tuple[str, ...]
    least: int
    unit: str


UNKNOWN: Final = "unknown"
CRASHES: Final = "Crashes"
FAULTS: Final = "Faults"
HOSTILE: Final = "Hostile input"

PROMISES: Final = (
    Promise(CRASHES, "nothing lost, wrong, double or left over after `kill -9`",
            ("crash.points", "crash.random", "crash.uploads"), 200, "kills"),
    Promise(CRASHES, "nothing acknowledged is lost in a power cut", ("crash.power",), 10, "power cuts"),
    Promise(CRASHES, "killed, or refused, in the middle of a system call", ("crash.syscalls",), 10, "system calls"),
    Promise(CRASHES, "a gateway that wakes up too late changes nothing", ("crash.zombies",), 4, "zombies"),
    Promise(CRASHES, "engines that race for the same files publish each once", ("crash.race",), 100, "files"),
    Promise(CRASHES, "mistakes planted in the gateway are noticed by these tests", ("crash.mutants",), 12, "mistakes"),
    Promise(FAULTS, "a bad network ends in the right bytes, or in a cause", ("faults.network",), 20, "faults"),
    Promise(FAULTS, "every flipped bit is found", ("faults.flips",), 1000, "flipped bits"),
    Promise(FAULTS, "of damaged blocks exactly those are sent again", ("faults.blocks",), 2, "files"),
    Promise(FAULTS, "servers that lie are not believed", ("faults.liars",), 30, "lies"),
    Promise(FAULTS, "disks that fill, fail or forget", ("faults.disk",), 10, "faults"),
    Promise(FAULTS, "databases that lock, restart, die or are damaged", ("faults.database",), 5, "faults"),
    Promise(FAULTS, "clocks that jump", ("faults.clock",), 3, "jumps"),
    Promise(FAULTS, "threads that die, memory that runs out", ("faults.process",), 5, "faults"),
    Promise(FAULTS, "an S3 server that enforces what others forgive", ("strict.s3",), 90, "cases"),
    Promise(HOSTILE, "paths stay below their root", ("evil.paths",), 1000, "requests"),
    Promise(HOSTILE, "everybody reaches exactly what is theirs", ("evil.authorisation",), 50, "cells"),
    Promise(HOSTILE, "links that are swapped while they are followed lead nowhere", ("evil.race",), 100, "requests"),
    Promise(HOSTILE, "nothing is injected into headers, logs or pages", ("evil.injection",), 1000, "requests"),
    Promise(HOSTILE, "no planted secret is found anywhere", ("evil.canaries",), 5, "secrets"),
    Promise(HOSTILE, "any order of requests by several users, with kills", ("evil.model",), 20, "sequences"),
    Promise(HOSTILE, "generated requests: no server error, nothing undocumented", ("evil.fuzz",), 500, "requests"),
    Promise(HOSTILE, "addresses that must not be asked are not", ("evil.ssrf",), 300, "addresses"),
    Promise(HOSTILE, "huge, deep and endless requests are bounded", ("evil.bombs",), 10, "requests"),
)  # fmt: skip


def read(*evidence: Path) -> dict[str, Total]:
    """The totals by area, of all files that are there. Raises ``ValueError`` if a line is none."""
    found: dict[str, Total] = {}
    for line in chain.from_iterable(file.read_text().splitlines() for file in evidence if file.exists()):
        one = json.loads(line)
        command, commit = frozenset({one.get("command", UNKNOWN)}), frozenset({one.get("commit", UNKNOWN)})
        total = Total(one["runs"], one["bad"], one["seconds"], command, commit)
        found[one["area"]] = found.get(one["area"], Total()) + total
    return found


def rows(totals: dict[str, Total], commit: str = "", promises: Sequence[Promise] = PROMISES) -> list[Row]:
    """A row for each promise, and one for each area that belongs to none: nothing seen is left out. ``commit``: of the
    whole card."""
    known = {area for promise in promises for area in promise.areas}
    others = [Promise("Other", area, (area,), 1, "tries") for area in sorted(totals.keys() - known)]
    return [_row(promise, _of(totals, promise.areas), commit) for promise in (*promises, *others)]


def _of(totals: dict[str, Total], areas: Iterable[str]) -> Total:
    return sum((totals[area] for area in areas if area in totals), Total())


def _row(promise: Promise, total: Total, commit: str) -> Row:
    goal = f"0 of {promise.least:,} {promise.unit} or more"
    if not total.runs:
        return Row(promise.group, promise.promise, goal, "–", Verdict.NOT_RUN)
    is_met = total.bad == 0 and total.runs >= promise.least
    figure = f"{total.bad:,} of {total.runs:,}" + (f" (below {bound(total.runs)} with 95 %)" if not total.bad else "")
    others, by = ", ".join(sorted(total.commits - {commit})), tuple(sorted(total.commands))
    return Row(promise.group, promise.promise, goal, figure, judged(is_met), total.runs, round(total.seconds, 1),
               others, by)  # fmt: skip


def bound(runs: int) -> str:
    """None in so many: the rate is below this, with 95 % confidence (the rule of three)."""
    percent = min(100.0, 300 / runs)
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
