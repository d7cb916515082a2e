"""Runs the suites that try the promises, reads what was measured, and writes the scorecard."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from tests.evidence import VARIABLE

from .. import machine
from . import counts, figures
from .page import page, summary
from .verdict import Row, Verdict, judged

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "benchmarks" / "results"
SUITES: Final = ("tests/crash", "tests/faults", "tests/evil", "tests/storage_backends/test_conformance.py")
SEED: Final = "1000"


def main(arguments: Sequence[str] | None = None) -> int:
    """0, also when targets are missed: the card says so. 1 when a suite could not be run at all."""
    options, more = _parser().parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scigate-scorecard-") as folder:
        started, begun = datetime.now(UTC), time.monotonic()
        evidence, report = Path(folder, "evidence"), Path(folder, "report.xml")
        _run_suites(evidence, report, more)
        if not report.exists():
            print("scorecard: the suites did not run; see above", file=sys.stderr)
            return 1
        tests = read_report(report)
        rows = [_tests_row(tests), *counts.rows(counts.read(evidence)), *figures.rows(RESULTS, machine.commit())]
        card = _card(started, time.monotonic() - begun, tests, more)
    write(card, rows, options.folder)
    print(summary(rows))
    return 0


def _run_suites(evidence: Path, report: Path, more: Sequence[str]) -> None:
    cores = str(min(len(os.sched_getaffinity(0)), 4))
    command = [sys.executable, "-m", "pytest", "-q", "-n", cores, "--dist", "loadscope", f"--junitxml={report}",
               *SUITES, *more]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=os.environ | {VARIABLE: str(evidence)}, check=False)


def read_report(report: Path) -> Counter[str]:
    """How many tests passed, failed, were skipped, and deviated as their server is known to."""
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        deviates = any(child.get("type") == "pytest.xfail" for child in case)
        failed = kinds & {"failure", "error"}
        kind = "failed" if failed else "deviated" if deviates else "skipped" if "skipped" in kinds else "passed"
        found[kind] += 1
    return found


def _tests_row(tests: Counter[str]) -> Row:
    run = tests["passed"] + tests["failed"] + tests["deviated"]
    goal, promise = "0 failed", "tests of these suites, the conformance of every storage server among them"
    return Row("Suites", promise, goal, f"{tests['failed']} failed of {run:,}",
               judged(not tests["failed"]) if run else Verdict.NOT_RUN, run)  # fmt: skip


def _card(started: datetime, seconds: float, tests: Counter[str], more: Sequence[str]) -> dict[str, Any]:
    told = machine.machine()
    seed = next((more[at + 1] for at, word in enumerate(more[:-1]) if word == "--seed"), SEED)
    return {
        "commit": machine.commit(), "started": started.isoformat(timespec="seconds"), "seconds": round(seconds),
        "seed": seed, "options": list(more), "versions": machine.versions(),
        "machine": f"{told['cores']} cores ({told['processor']}), Linux {told['kernel']}, Python {told['python']}",
        "tests": ", ".join(f"{tests[kind]:,} {kind}" for kind in ("passed", "failed", "deviated", "skipped")),
    }  # fmt: skip


def write(card: dict[str, Any], rows: Sequence[Row], folder: Path) -> None:
    """``scorecard.json`` and ``scorecard.md``."""
    whole = card | {"rows": [row.as_json() for row in rows]}
    (folder / "scorecard.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    (folder / "scorecard.md").write_text(page(card, list(rows)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run scorecard", description=__doc__, allow_abbrev=False,
        epilog="All other options go to the suites: --kills 3000 --mutants --seed 7 …",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where both files go [default: docs/]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
