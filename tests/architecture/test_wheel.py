"""What a user of ``pip install scigate`` gets: the packages, whole, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(root)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_it_holds_exactly_the_packages(wheel: zipfile.ZipFile, packages: dict[str, Path]) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name}
    there = {
        str(path.relative_to(package.parents[1]))
        for package in packages.values()
        for path in package.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(package).parts)
    }
    assert shipped == there
    assert "scigate/__init__.py" not in shipped


def test_it_holds_what_is_easily_forgotten(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {f"scigate/{name}/py.typed" for name in ("storage_backends", "gateway_api")} <= names
    assert [name for name in names if name.startswith("scigate/gateway_api/db/migrations/versions/")], "no migrations"
    assert [name for name in names if name.startswith("scigate/storage_backends/testing/")], "no conformance suite"
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")], "no licence"
    enabling = "data/etc/jupyter/jupyter_server_config.d/scigate.json"
    assert [name for name in names if name.endswith(f".data/{enabling}")], "nothing enables the Jupyter extension"
    lab = {name.partition("/labextensions/scigate/")[2] for name in names if "/labextensions/scigate/" in name}
    assert {"package.json", "static/remoteEntry.js", "static/panel.js", "static/upload.js"} <= lab, "no panel for Lab"


def test_its_entry_points_can_be_loaded_from_it(wheel: zipfile.ZipFile, root: Path, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    listed = configparser.ConfigParser(delimiters="=")
    listed.optionxform = str  # type: ignore[assignment,method-assign]
    listed.read(next(tmp_path.glob("*.dist-info/entry_points.txt")))
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert dict(listed["console_scripts"]) == project["scripts"]
    backends = dict(listed["scigate.storage_backends"])
    assert backends == project["entry-points"]["scigate.storage_backends"]
    for target in [*project["scripts"].values(), *backends.values()]:
        _load(target, tmp_path)


def _load(target: str, folder: Path) -> None:
    module, name = target.split(":")
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import {module} as m; "
        f"assert m.__file__.startswith({str(folder)!r}), m.__file__; m.{name}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, f"{target}: {done.stderr}"
