"""What must never get into the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Written so that no pattern matches its own line.
FORBIDDEN = {
    "a path of one machine": r"(^|[^\w.])/(wor[k]|roo[t]|far[m])/[\w.]",
    "the address of a package registry": r"(pypi|npmjs|anaconda|crates|pythonhosted|debian|ubuntu)[.](org|com|io)/",
    "another package index": r"--(extra-)?index-ur[l]|find-link[s]",
    "an address of a built package": r"https?://[^ \"]+[.](whl|tgz|deb)\b|\"resolve[d]\":",
    "a private key": r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}",
    "a key of a cloud": r"\bAKI[A][0-9A-Z]{16}\b",
}
BUILT = {".whl", ".egg", ".so", ".pyc", ".map", ".exe", ".jar", ".gz", ".zip"}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str, root: Path, tracked: list[Path]) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    assert tracked
    found = [str(path.relative_to(root)) for path in tracked if pattern.search(path.read_text(errors="replace"))]
    assert found == []


def test_nothing_built_is_kept(root: Path, tracked: list[Path]) -> None:
    assert [str(path.relative_to(root)) for path in tracked if path.suffix in BUILT] == []


def test_no_file_is_large(root: Path, tracked: list[Path]) -> None:
    assert [str(path.relative_to(root)) for path in tracked if path.stat().st_size > 500_000] == []


def test_the_patterns_see_what_they_forbid() -> None:
    samples = {
        "a path of one machine": "see " + "/ro" + "ot/x.py",
        "the address of a package registry": "https://pypi" + ".org/simple",
        "another package index": "pip install --index-" + "url x",
        "an address of a built package": "https://example.org/a" + ".whl",
        "a private key": "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "MIIE" * 16,
        "a key of a cloud": "AKI" + "A" + "0" * 16,
    }
    assert set(samples) == set(FORBIDDEN)
    assert [what for what, sample in samples.items() if not re.search(FORBIDDEN[what], sample)] == []
