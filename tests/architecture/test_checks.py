"""What ``./run check`` does, so that ``./run test`` proves it too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "types": ["mypy"],
    "imports": ["lint-imports", "--no-logo"],
}


@pytest.mark.timeout(
    1200
)  # the types of all modules, without what an earlier run has kept, take minutes on a slow machine
@pytest.mark.parametrize("name", CHECKS)
def test_check_finds_nothing(name: str, root: Path) -> None:
    program, *arguments = CHECKS[name]
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_runs_the_same_checks(root: Path) -> None:
    script = (root / "run").read_text()
    assert [words for words in CHECKS.values() if f".venv/bin/{' '.join(words)}" not in script] == []
