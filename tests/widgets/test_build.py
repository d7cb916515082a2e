"""The bundles are built when they have to be, and when that cannot be, a sentence says so."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = Path("widgets", "scigate", "widgets", "static")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources without what npm and esbuild have made of them."""
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    shutil.copytree(ROOT / "widgets" / "js", tmp_path / "widgets" / "js", ignore=shutil.ignore_patterns("node_modules"))
    return tmp_path


def _build(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "hatch_build.py"], env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def test_without_npms_registry_a_sentence_says_what_to_do(checkout: Path) -> None:
    nowhere = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}
    done = _build(checkout, **nowhere, npm_config_cache=str(checkout / "cache"))
    assert done.returncode == 1
    assert "The JavaScript of SciGate's portlets was not built: npm could not fetch" in done.stderr
    assert "SCIGATE_WITHOUT_WIDGETS=1" in done.stderr
    assert "Traceback" not in done.stderr
    assert _build(checkout, SCIGATE_WITHOUT_WIDGETS="1").returncode == 0


def test_a_mistake_in_a_source_is_told_and_the_old_bundles_stay(checkout: Path) -> None:
    if not (ROOT / "widgets" / "js" / "node_modules").is_dir():
        pytest.skip("needs widgets/js/node_modules, which ./run bundles fetches when there are no bundles")
    (checkout / "widgets" / "js" / "node_modules").symlink_to(ROOT / "widgets" / "js" / "node_modules")
    assert _build(checkout).returncode == 0
    bundles = {path.name: path.stat().st_mtime_ns for path in (checkout / STATIC).iterdir()}
    assert {"status.js", "transfers.js", "scigate.js"} <= set(bundles)
    assert _build(checkout).returncode == 0
    assert bundles == {path.name: path.stat().st_mtime_ns for path in (checkout / STATIC).iterdir()}, "nothing to do"

    (checkout / "widgets" / "js" / "src" / "portlets" / "status.js").write_text("this is not JavaScript")
    done = _build(checkout)
    assert done.returncode == 1
    assert "src/portlets/status.js:1:5" in done.stderr
    assert bundles.keys() == {path.name for path in (checkout / STATIC).iterdir()}


def test_bundles_that_are_newer_than_their_sources_are_left_alone() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    before = {path: path.stat().st_mtime_ns for path in (ROOT / STATIC).iterdir()}
    hook.build(ROOT)
    assert before == {path: path.stat().st_mtime_ns for path in (ROOT / STATIC).iterdir()}


def test_the_source_archive_holds_the_bundles_so_that_it_needs_no_npm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert f"{STATIC}/transfers.js" in names
    assert f"{STATIC}/LICENSES.txt" in names
    assert {"hatch_build.py", "widgets/js/package-lock.json", "widgets/js/src/portlets/status.js"} <= names
    assert not [name for name in names if "node_modules" in name]


def test_the_licences_of_what_is_bundled_come_along() -> None:
    text = (ROOT / STATIC / "LICENSES.txt").read_text()
    for package in ("tus-js-client", "uplot"):
        assert f"{package}\n\n" in text
    assert text.count("MIT") >= 2
    assert "esbuild\n" not in text, "it is no part of them"


def test_no_address_is_in_the_lock_file() -> None:
    text = (ROOT / "widgets" / "js" / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in text
    assert "resolved" not in text
    assert "registry" not in text


def test_an_editable_install_has_the_newest_panel(checkout: Path) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", checkout / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    shutil.copytree(ROOT / hook.LAB, checkout / hook.LAB)
    (checkout / STATIC).mkdir(parents=True)
    (checkout / STATIC / "panel.js").write_text("old")
    environment = checkout / ".venv"
    hook.refresh(checkout, environment)
    assert not environment.exists(), "nothing is installed there"

    installed = environment / hook.LAB_DATA
    installed.mkdir(parents=True)
    hook.refresh(checkout, environment)
    (checkout / STATIC / "panel.js").write_text("new")
    os.utime(checkout / STATIC / "panel.js", (2e9, 2e9))
    hook.refresh(checkout, environment)
    assert (installed / "static" / "panel.js").read_text() == "new"
    assert (installed / "package.json").read_bytes() == (ROOT / hook.LAB / "package.json").read_bytes()
    assert (installed / "static" / "remoteEntry.js").is_file()
