"""The benchmarks of load and of endurance run, and their page says what they saw; how fast it is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load_client import Seen, summary
from benchmarks.load_report import HEADING, section
from benchmarks.uploads_report import join

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The JSON and the page of a tiny run."""
    folder = tmp_path_factory.mktemp("load")
    (folder / "page.md").write_text("# Benchmarks\n\nBefore.\n")
    sizes = ("--seconds", "0.2", "--queued", "60", "--active", "4", "--million", "1500")
    own = ("--folder", str(folder / "files"), "--results", str(folder), "--name", "tiny")
    done = bench("load", *sizes, *own, "--page", str(folder / "page.md"))
    assert done.returncode == 0, done.stderr
    assert not (folder / "files").exists(), "nothing is left on the disk"
    return json.loads((folder / "tiny.json").read_text()), (folder / "page.md").read_text()


@pytest.mark.long
def test_every_part_says_what_was_answered(outcome: tuple[dict[str, Any], str]) -> None:
    result, _ = outcome
    for name, status in (("gets", "200"), ("submits", "202")):
        assert [run["connections"] for run in result[name]] == [16, 64, 16, 64]
        assert all(set(run["statuses"]) == {status} and run["lost"] == 0 for run in result[name])
    assert result["queued"]["files"] <= 60
    assert result["active"]["files"] == 4
    assert result["million"]["files"] == 1500
    assert str(ROOT) not in json.dumps(result)


@pytest.mark.long
def test_the_page_keeps_what_it_had(outcome: tuple[dict[str, Any], str]) -> None:
    result, page = outcome
    assert page.startswith("# Benchmarks\n\nBefore.\n\n" + HEADING)
    assert join(page, section(result, None)) == page


def test_a_section_in_the_middle_stays_there() -> None:
    page = f"# Page\n\nText.\n\n{HEADING}\n\nold\n\n## Next\n\nlast\n"
    assert join(page, f"{HEADING}\n\nnew\n") == page.replace("old", "new")


def test_quantiles_are_of_all_that_was_answered() -> None:
    seen = Seen(times=[float(number) for number in range(1, 101)])
    found = summary(seen, 2.0)
    assert (found["rate"], found["p50"], found["p99"], found["longest"]) == (50.0, 51.0, 100.0, 100.0)


def test_a_short_soak_ends_with_nothing_wrong(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("seaweedfs")
    times = ("--minutes", "0.05", "--every", "1", "--seed", "95")  # a kill, and a reset
    done = bench("soak", *times, "--folder", str(tmp_path / "files"), "--results", str(tmp_path), "--name", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "tiny.json").read_text())
    assert result["counts"]["files compared"] > 0
    assert result["wrong"] == []
    assert result["faults"]
