"""Runs the suites that try the promises, reads what was measured, and writes the scorecard."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from tests.evidence import COMMAND, VARIABLE

from .. import machine
from . import counts, figures
from .page import page, summary
from .verdict import Row, Verdict, judged

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "benchmarks" / "results"
SUITES: Final = ("tests/crash", "tests/faults", "tests/evil", "tests/storage_backends/test_conformance.py")
NIGHTLY: Final = ("--kills", "200", "--power", "48", "--mutants", "--long", "--evil", "5")
"""So that the suites try as often as the promises ask for, where a usual run of the tests tries less."""
SEED: Final = "1000"
REPORT: Final = "report.xml"
EVIDENCE: Final = "evidence"


def main(arguments: Sequence[str] | None = None) -> int:
    """0, also when targets are missed: the card says so. 1 when a suite could not be run at all."""
    options, more = _parser().parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scigate-scorecard-") as temporary:
        seen = list(dict.fromkeys(path.resolve() for path in options.seen or [Path(temporary)]))
        if options.seen is None:
            _run_suites(seen[0], more)
        folders = [path for path in seen if (path / REPORT).exists()]
        if not folders:
            print(f"scorecard: the suites left no {REPORT} in {seen[0]}", file=sys.stderr)
            return 1
        report, commit = _sum([read_report(path / REPORT) for path in folders]), machine.commit()
        of_tests, of_all = (counts.read(*map(_evidence_in, paths)) for paths in (folders, seen))
    rows = [_tests_row(report.tests, of_tests, commit), *counts.rows(of_all, commit), *figures.rows(RESULTS, commit)]
    write(_card(report, commit, more), rows, options.folder)
    print(summary(rows))
    return 0


def _evidence_in(path: Path) -> Path:
    return path / EVIDENCE if path.is_dir() else path


def _run_suites(folder: Path, more: Sequence[str]) -> None:
    cores = str(min(len(os.sched_getaffinity(0)), 4))
    command = [sys.executable, "-m", "pytest", "-q", "-n", cores, "--dist", "loadscope",
               f"--junitxml={folder / REPORT}", *SUITES, *NIGHTLY, *more]  # fmt: skip
    own = {VARIABLE: str(folder / EVIDENCE), COMMAND: " ".join(["./run scorecard", *more])}
    subprocess.run(command, cwd=ROOT, env=os.environ | own, check=False)


@dataclass(frozen=True)
class Report:
    """What pytest says of its run: when it began, its seconds, and how many tests passed, failed, were skipped, and
    deviated as their server is known to."""

    started: str
    seconds: float
    tests: Counter[str]


def read_report(report: Path) -> Report:
    """Reads the XML that pytest writes."""
    tree, found = ElementTree.parse(report), Counter[str]()
    for case in tree.iter("testcase"):
        kinds = {child.tag for child in case}
        deviates = any(child.get("type") == "pytest.xfail" for child in case)
        failed = kinds & {"failure", "error"}
        kind = "failed" if failed else "deviated" if deviates else "skipped" if "skipped" in kinds else "passed"
        found[kind] += 1
    suite = next(tree.iter("testsuite"))
    return Report(suite.attrib["timestamp"], float(suite.attrib["time"]), found)


def _sum(reports: Sequence[Report]) -> Report:
    tests = sum((report.tests for report in reports), Counter[str]())
    return Report(min(report.started for report in reports), sum(report.seconds for report in reports), tests)


def _tests_row(tests: Counter[str], totals: Mapping[str, counts.Total], commit: str) -> Row:
    commands = {command for total in totals.values() for command in total.commands}
    commits = {of for total in totals.values() for of in total.commits} - {commit}
    run = tests["passed"] + tests["failed"] + tests["deviated"]
    goal, promise = "0 failed", "tests of these suites, the conformance of every storage server among them"
    return Row("Suites", promise, goal, f"{tests['failed']} failed of {run:,}",
               judged(not tests["failed"]) if run else Verdict.NOT_RUN, run,
               commit=", ".join(sorted(commits)), by=tuple(sorted(commands)))  # fmt: skip


def _card(report: Report, commit: str, more: Sequence[str]) -> dict[str, Any]:
    told, tests = machine.machine(), report.tests
    seed = next((more[at + 1] for at, word in enumerate(more[:-1]) if word == "--seed"), SEED)
    return {
        "commit": commit, "started": report.started[:19], "seconds": round(report.seconds),
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
        epilog="All other options go to the suites: --kills 3000 --seed 7 …",
    )  # fmt: skip
    parser.add_argument(
        "--seen", type=Path, metavar="FOLDER", nargs="+",
        help=f"run nothing: judge what a run of the tests left there, with --junitxml=FOLDER/{REPORT} and "
        f"{VARIABLE}=FOLDER/{EVIDENCE}; further folders, and files that {VARIABLE} named, are added",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where both files go [default: docs/]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
