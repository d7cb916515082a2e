"""./run in places that its authors did not have in mind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = '#!/bin/sh\necho "$LC_ALL"\n'


def checkout(folder: Path, root: Path) -> Path:
    """A checkout that is set up already, with programs that print their locale."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(root / "run", folder / "run")
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    for name, text in {"python": "#!/bin/sh\n", "scigate": PROGRAM}.items():
        (folder / ".venv" / "bin" / name).write_text(text)
        (folder / ".venv" / "bin" / name).chmod(0o755)
    for extra in ("demo", "dev"):
        (folder / ".venv" / f"installed-{extra}").write_text(f"{folder}\n")
    return folder


@pytest.mark.parametrize(
    ("name", "locale", "seen"),
    [
        ("pr\u00f3ject one", "C", "C.UTF-8"),
        ("pr\u00f3ject two", "xx_XX.UTF-8", "C.UTF-8"),  # not installed, as after ssh from elsewhere
        ("pr\u00f3ject three", "C.UTF-8", "C.UTF-8"),
        ("project four", "C", "C"),
    ],
)
def test_python_can_read_the_path_whatever_the_locale_is(
    tmp_path: Path, root: Path, name: str, locale: str, seen: str
) -> None:
    place = checkout(tmp_path / name, root)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": locale}
    done = subprocess.run([place / "run", "demo"], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == (seen, 0), done.stderr


@pytest.mark.parametrize("place", [".", ".venv"])
def test_a_checkout_of_somebody_else_is_named_before_anything_is_installed(
    tmp_path: Path, root: Path, place: str
) -> None:
    folder = checkout(tmp_path / "theirs", root)
    for stamp in (folder / ".venv").glob("installed-*"):
        stamp.unlink()  # something is to be installed
    (folder / place).chmod(0o555)
    # Root may write everywhere, unless that is taken away.
    humble = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    done = subprocess.run([*humble, folder / "run", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"below {folder / place}, which belongs to {folder.owner()}: run this as {folder.owner()}" in done.stderr
    assert "installing" not in done.stderr.replace("to be installed", "")


def test_who_may_install_no_packages_is_told_which_are_missing_and_the_tests_run(tmp_path: Path, root: Path) -> None:
    folder = checkout(tmp_path / "checkout", root)
    (programs := tmp_path / "bin").mkdir()
    for name in ("cat", "dirname", "id", "locale", "ls", "nproc", "sh", "strace"):  # no apt-get, no sudo
        (programs / name).symlink_to(shutil.which(name) or "/bin/true")
    done = subprocess.run(
        [folder / "run", "test"], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "as root: apt-get install" in done.stderr
    said = done.stderr.rpartition("apt-get install ")[2].split()
    assert {"faketime", "fuse3", "chromium"} <= set(said) and "strace" not in said
