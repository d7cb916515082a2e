"""Targets of the benchmarks: their figures are read from the results that the benchmarks left, not measured here."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from scigate.storage_backends.backend import MiB

from .verdict import Row, Verdict, judged

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """``read`` finds the figure in the result ``name``.json, and raises ``LookupError`` where it was not measured.

    ``limit`` is the most it may be, or with ``at_least`` the least."""

    group: str
    name: str
    promise: str
    limit: float
    unit: str
    read: Callable[[Result], float]
    at_least: bool = False

    @property
    def goal(self) -> str:
        """In words."""
        return f"{'at least' if self.at_least else 'at most'} {written(self.limit)}{self.unit}"

    def is_met(self, figure: float) -> bool:
        """Whether it is on the right side."""
        return figure >= self.limit if self.at_least else figure <= self.limit


def of_case(case: str, ratio: str, result: Result) -> float:
    """The median ratio of one case of the comparison, SciGate / tuned rclone."""
    found = next((one for one in result["cases"] if one["name"] == case), None)
    if found is None:
        raise LookupError(case)
    return float(found["ratios"][ratio]["median"])


def _times(case: str, times: float, promise: str, ratio: str = "wall") -> Target:
    read = partial(of_case, case, ratio)
    return Target("Peers: time, SciGate / tuned rclone", "full", promise, round(1 / times, 2), "", read)


def in_result(*path: str) -> Callable[[Result], float]:
    """Reads one figure by the names that lead to it."""

    def read(result: Result) -> float:
        found: Any = result
        for name in path:
            found = found[name]
        return float(found)

    return read


def _percent(read: Callable[[Result], float], result: Result) -> float:
    return 100 * read(result)


def _memory(result: Result) -> float:
    programs = result["first_leg"]["programs"]
    ours = [one["rss"]["max"] for name, one in programs.items() if name != "bare"]
    return float(max(*ours, *(run["rss"] for run in result["second_leg"])) / MiB)


def _blocks(result: Result) -> float:
    by_size: dict[int, list[float]] = defaultdict(list)
    for run in result["second_leg"]:
        by_size[run["size"]].append(run["done"])
    return max(median(done) for done in by_size.values()) / float(result["block_seconds"])


PEERS: Final = (
    _times("large-local-s3", 2, "one large file, local → S3"),
    _times("large-s3-s3", 2, "one large file, S3 → S3"),
    _times("large-s3-local", 1.2, "one large file, S3 → local, both synced", "durable"),
    _times("small-local-s3", 2.5, "thousands of small files, local → S3"),
    _times("small-s3-local", 2.5, "thousands of small files, S3 → local"),
    _times("small-s3-s3", 2.5, "thousands of small files, S3 → S3"),
    _times("small-local-local", 2.5, "thousands of small files, local → local"),
    _times("small-s3-inside", 2.5, "thousands of small files, inside one S3"),
)


def _growth(result: Result) -> float:
    """CPU of a file in the longest transfer, as a multiple of that in the shortest one."""
    each = [one["cpu"] / one["files"] for one in sorted(result["linear"], key=lambda one: float(one["files"]))]
    return float(each[-1] / each[0])


def _verification(result: Result) -> float:
    return max(100 * float(one["share"]) for one in result["verification"])


COST: Final = (
    Target("What it costs inside", "overheads", "CPU of a file of 100,000, of one of 1,000", 1.2, " times", _growth),
    Target("What it costs inside", "overheads", "verification, of the time of a large file", 15, " %", _verification),
    Target("What it costs inside", "overheads", "CPU of a part of an upload to S3", 2, " ms",
           lambda result: 1000 * in_result("parts", "each")(result)),
)  # fmt: skip
JUPYTER: Final = (
    Target("In Jupyter", "hub", "2 GiB through the hub's proxy, against straight to the gateway", 90, " %",
           partial(_percent, in_result("share")), True),
    Target("In Jupyter", "hub", "memory of the gateway meanwhile", 200, " MiB",
           lambda result: in_result("rss")(result) / MiB),
    Target("In Jupyter", "widgets", "a batch of events on a page with 1,000 transfers", 100, " ms",
           in_result("milliseconds", "batch", "painted", "median")),
)  # fmt: skip

_OF_UPLOADS: Final = "Uploads by one client"
_SPEED: Final = partial(_percent, in_result("first_leg", "programs", "one", "speed", "median"))
UPLOADS: Final = (
    Target(_OF_UPLOADS, "uploads", "2 GiB, against a bare handler that writes the same bytes", 90, " %", _SPEED, True),
    Target(_OF_UPLOADS, "uploads", "memory of the gateway", 150, " MiB", _memory),
    Target(_OF_UPLOADS, "uploads", "from the last byte to DONE on S3, any size", 2, " blocks' time", _blocks),
)


def _asked(what: str, figure: str, is_open: bool, result: Result) -> float:
    """Of the run with 16 connections: as fast as they are answered, or at the aimed rate."""
    runs = (run for run in result[what] if bool(run["wanted"]) is is_open and run["connections"] == 16)
    return float(next(runs)[figure])


def _mebibytes(read: Callable[[Result], float], result: Result) -> float:
    return read(result) / MiB


def _load(promise: str, limit: float, unit: str, what: str, figure: str, *, is_open: bool) -> Target:
    read = partial(_asked, what, figure, is_open)
    return Target("Load on two cores", "load", promise, limit, unit, read, at_least=not is_open)


LOAD: Final = (
    _load("authenticated GETs, as many as are answered", 1500, " a second", "gets", "rate", is_open=False),
    _load("1,500 GETs a second: p99", 50, " ms", "gets", "p99", is_open=True),
    _load("durable submits, as many as are answered", 500, " a second", "submits", "rate", is_open=False),
    _load("500 submits a second: p99", 100, " ms", "submits", "p99", is_open=True),
    Target("Load on two cores", "load", "files in the queue", 100_000, "", in_result("queued", "files"), True),
    Target("Load on two cores", "load", "files active at once", 1000, "", in_result("active", "files"), True),
    Target("Load on two cores", "load", "files submitted in one request", 1e6, "", in_result("million", "files"), True),
    Target("Load on two cores", "load", "memory of the gateway for that", 300, " MiB",
           partial(_mebibytes, in_result("million", "rss"))),
    Target("Soak", "soak", "minutes with a fault each", 30, "", in_result("setup", "minutes"), True),
    Target("Soak", "soak", "wrong, missing, left over or told twice", 0, "", lambda result: len(result["wrong"])),
    Target("Soak", "soak", "memory after warming up grows by", 1, " MiB/h", in_result("memory", "per_hour_mib")),
    Target("Soak", "soak", "open descriptors grow by", 1, "/h", in_result("descriptors", "per_hour")),
    Target("Soak", "soak", "largest write-ahead log", 64, " MiB", partial(_mebibytes, in_result("wal"))),
)  # fmt: skip
TARGETS: Final = (*PEERS, *COST, *LOAD, *UPLOADS, *JUPYTER)
AGAIN: Final = "again"
"""The result with some cases of the comparison that were measured once more."""
_COMMANDS: Final = {"full": "./run bench", AGAIN: "./run bench --name again"} | {
    name: f"./run bench {name}" for name in ("uploads", "load", "soak", "overheads", "hub", "widgets")
}
"""By the name of the result."""


def written(figure: float) -> str:
    """As people read it."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def rows(folder: Path, commit: str, targets: Iterable[Target] = TARGETS) -> list[Row]:
    """A row for each target; of what was never measured as well."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return [_row(target, *_newest(target, results), commit) for target in targets]


def _newest(target: Target, results: Mapping[str, Result]) -> tuple[str, Result]:
    """The result that has its figure, by name."""
    if target.name == "full" and (again := results.get(AGAIN)):
        with suppress(LookupError):
            target.read(again)
            return AGAIN, again
    return target.name, results.get(target.name, {})


def _row(target: Target, name: str, result: Result, commit: str) -> Row:
    try:
        figure = target.read(result)
    except LookupError:
        return Row(target.group, target.promise, target.goal, "–", Verdict.NOT_RUN)
    measured = str(result["versions"]["commit"])
    verdict, seen = judged(target.is_met(figure)), f"{written(figure)}{target.unit}"
    commit = "" if measured == commit else measured
    return Row(target.group, target.promise, target.goal, seen, verdict, commit=commit, by=(_COMMANDS[name],))
