"""The benchmark of uploads runs, checks what arrived and writes what it says; how fast anything is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.uploads_report import HEADING, join

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path]) -> tuple[dict[str, Any], str]:
    """The JSON and the page of a tiny run."""
    require("seaweedfs")
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text("# Benchmarks\n\nBefore.\n")
    sizes = ("--size", "20 MiB", "--sizes", "9 MiB,20 MiB", "--rounds", "1", "--seed", "7")
    own = ("--folder", str(folder / "files"), "--results", str(folder), "--name", "tiny")
    command = [sys.executable, "-m", "benchmarks", "uploads", *sizes, *own, "--page", str(folder / "page.md")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder / "files").exists(), "nothing is left on the disk"
    return json.loads((folder / "tiny.json").read_text()), (folder / "page.md").read_text()


@pytest.mark.long
def test_the_json_holds_every_run(outcome: tuple[dict[str, Any], str]) -> None:
    result, _ = outcome
    assert {run["program"] for run in result["first_leg"]["runs"]} == {"bare", "alone", "one", "many"}
    assert [run["size"] for run in result["second_leg"]] == [9 << 20, 20 << 20]
    assert all(run["done"] >= run["answered"] > 0 for run in result["second_leg"])
    assert result["first_leg"]["programs"]["bare"]["speed"]["median"] == 1
    assert result["block_seconds"] > 0
    assert str(ROOT) not in json.dumps(result)


@pytest.mark.long
def test_the_page_keeps_what_it_had_and_shows_both_legs(outcome: tuple[dict[str, Any], str]) -> None:
    _, page = outcome
    assert page.startswith("# Benchmarks\n\nBefore.\n\n" + HEADING)
    assert "| bare tornado handler |" in page
    assert "| 9 MiB |" in page


def test_the_section_takes_the_place_of_the_one_before() -> None:
    once = join("# Page\n\nText.\n", f"{HEADING}\n\nold\n")
    assert join(once, f"{HEADING}\n\nnew\n") == f"# Page\n\nText.\n\n{HEADING}\n\nnew\n"
