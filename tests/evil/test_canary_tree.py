"""The judge of what leads out sees what it is to see."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .canary_tree import MARK, CanaryTree


def test_a_leak_is_found_however_deep_it_lies(tmp_path: Path) -> None:
    top = tmp_path / "around"
    (top / "lab").mkdir(parents=True)
    tree = CanaryTree(top, top / "lab")
    tree.plant()
    try:
        assert list(tree.leaks()) == []
        _deep(top / "lab", 2000, f"before {MARK} after".encode())
        (leak,) = tree.leaks()
        assert leak.endswith("/a/a/found' holds what lies outside")
        assert tree.traces() == []
    finally:
        tree.close()
        subprocess.run(["rm", "-rf", top], check=True)  # shutil cannot


def _deep(folder: Path, depth: int, content: bytes) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        above, here = here, os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(above)
    with open(os.open("found", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(content)
    os.close(here)
