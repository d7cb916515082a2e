"""What the suites have seen, one line of JSON each, for the scorecard. Without its variable nothing is written."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import commit

VARIABLE: Final = "SCIGATE_EVIDENCE"
"""Names the file that is appended to."""
COMMAND: Final = "SCIGATE_COMMAND"
"""Says which command runs the suites."""


def record(area: str, *, runs: int, bad: int, seconds: float, **figures: Any) -> None:
    """``runs`` tries of ``area`` (``crash.points``, ``faults.flips`` …) took ``seconds``, and ``bad`` of them broke a
    promise. Called before the assertion, so that a failure counts."""
    if path := os.environ.get(VARIABLE):
        line = {"area": area, "runs": runs, "bad": bad, "seconds": round(seconds, 1), **_origin(), **figures}
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")  # one write, so that the lines of several processes do not mix


@lru_cache(maxsize=1)
def _origin() -> dict[str, str]:
    """What a figure comes from: the command, without the paths of this machine, and the state of SciGate."""
    command = re.sub(r" --?[\w-]+[= ]/\S*| /\S*", "", os.environ.get(COMMAND, "pytest"))
    return {"command": command, "commit": commit()}
