"""What one line of the scorecard says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """A check that could not run is neither good nor bad, and must not look like either."""

    MET = "met"
    MISSED = "missed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """A promise, what was aimed at, and what was seen."""

    group: str
    promise: str
    goal: str
    figure: str
    verdict: Verdict
    tries: int | None = None
    """How often it was tried, where that is what the figure rests on."""
    seconds: float | None = None
    commit: str = ""
    """Of which state of SciGate, where that is not the one of the whole card."""
    by: tuple[str, ...] = ()
    """The commands that the figure comes from."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return vars(self) | {"verdict": self.verdict.value}


def judged(is_met: bool) -> Verdict:
    """Met or missed."""
    return Verdict.MET if is_met else Verdict.MISSED
