"""What the suites have seen, one line of JSON each, for the scorecard. Without its variable nothing is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "SCIGATE_EVIDENCE"
"""Names the file that is appended to."""


def record(area: str, *, runs: int, bad: int, seconds: float, **figures: Any) -> None:
    """``runs`` tries of ``area`` (``crash.points``, ``faults.flips`` …) took ``seconds``, and ``bad`` of them broke a
    promise. Called before the assertion, so that a failure counts."""
    if path := os.environ.get(VARIABLE):
        line = {"area": area, "runs": runs, "bad": bad, "seconds": round(seconds, 1), **figures}
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")  # one write, so that the lines of several processes do not mix
