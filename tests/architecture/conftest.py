"""What the rules are checked against: the files of this checkout."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that git holds and that is there; without git, every file outside hidden folders."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and "/." not in f"/{path.relative_to(ROOT)}"]
    # safe.directory: the checkout may belong to somebody else, as in CI.
    listing = ["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-z"]
    names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """Component folder → its one package."""
    return {folder.parent.name: folder / folder.parent.name for folder in sorted(ROOT.glob("*/scigate"))}


@pytest.fixture(scope="session")
def modules(packages: dict[str, Path]) -> dict[str, ast.Module]:
    """Every module that is shipped, parsed, by its path from the checkout."""
    paths = sorted(path for package in packages.values() for path in package.rglob("*.py"))
    assert paths, "no modules found: the rules below would pass without looking at anything"
    return {str(path.relative_to(ROOT)): ast.parse(path.read_bytes(), str(path)) for path in paths}
