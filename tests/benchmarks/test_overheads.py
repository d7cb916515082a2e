"""The benchmark of what files, parts and verification cost runs, and its page says what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.overheads_report import HEADING, section

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


@pytest.mark.long
def test_a_tiny_run_measures_every_part(tmp_path: Path) -> None:
    sizes = ("--files", "10,20", "--size", "64", "--rounds", "1")
    own = ("--results", str(tmp_path), "--name", "tiny", "--page", str(tmp_path / "page.md"))
    command = [sys.executable, "-m", "benchmarks", "overheads", *sizes, *own]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "tiny.json").read_text())
    assert [run["files"] for run in result["linear"]] == [10, 20]
    assert [each["way"] for each in result["verification"]] == ["local → local", "S3 → local", "local → S3"]
    assert all(each["share"] < 1 for each in result["verification"])
    assert result["parts"]["parts"] == [8, 1]
    assert (tmp_path / "page.md").read_text().strip() == section(result).strip()
    assert section(result).startswith(HEADING)
    assert str(ROOT) not in json.dumps(result)


def test_what_does_not_fit_into_memory_is_not_begun(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "overheads", "--rounds", "1000000", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "take fewer --rounds" in done.stderr
    assert list(tmp_path.iterdir()) == []
