"""The judge is independent: whoever judges imports nothing of what is judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("judge", ["checker", "upload_checker", "watcher"])
def test_it_imports_nothing_of_the_product(judge: str) -> None:
    code = f"import sys, tests.crash.{judge}; print([name for name in sys.modules if name.startswith('scigate')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_it_says_how_it_judges_every_invariant() -> None:
    from . import checker

    told = checker.__doc__ or ""
    assert [number for number in range(11) if f"\n    I{number} " not in told] == []
