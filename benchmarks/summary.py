"""Runs → what is written down: medians with the smallest and the largest, and ratios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from .cases import Case
from .compare import Run
from .peers import SciGate

TUNED = "rclone"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest, to four digits."""
    return {name: _short(of(values)) for name, of in (("median", median), ("min", min), ("max", max))}


def summarise(case: Case, runs: Sequence[Run], left_out: Mapping[str, str]) -> dict[str, Any]:
    """One case, as it stands in the JSON."""
    return {
        "name": case.name,
        "files": case.load.files,
        "file_size": case.load.size,
        "bytes": case.load.bytes,
        "digests_checked": case.load.files * len(runs),
        "peers": {name: _peer(run for run in runs if run.peer == name) for name in sorted({run.peer for run in runs})},
        "ratios": {
            "wall": ratio(runs, "wall"),
            "durable": ratio(runs, "durable"),
            "cpu": ratio(runs, "cpu"),
            "rss": ratio(runs, "rss"),
        },
        "wall_ratios": {
            name: ratio(runs, "wall", name) for name in sorted({run.peer for run in runs} - {SciGate.name})
        },
        "left_out": dict(left_out),
        "runs": [{"round": run.round, "peer": run.peer, **_rounded(asdict(run.figures))} for run in runs],
    }


def ratio(runs: Sequence[Run], figure: str, peer: str = TUNED) -> dict[str, float]:
    """SciGate / the peer, below 1 where SciGate needs less: of the medians, and the extremes within one round."""
    ours, theirs = (_by_round(runs, peer, figure) for peer in (SciGate.name, peer))
    each = [ours[number] / theirs[number] for number in ours]
    return {
        "median": _short(median(ours.values()) / median(theirs.values())),
        "min": _short(min(each)),
        "max": _short(max(each)),
    }


def _by_round(runs: Sequence[Run], peer: str, figure: str) -> dict[int, float]:
    return {run.round: float(getattr(run.figures, figure)) for run in runs if run.peer == peer}


def _peer(runs: Iterable[Run]) -> dict[str, Any]:
    figures = [run.figures for run in runs]
    return {name: spread([getattr(one, name) for one in figures]) for name in ("wall", "durable", "cpu", "rss")}


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: _short(value) for name, value in figures.items()}


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")
