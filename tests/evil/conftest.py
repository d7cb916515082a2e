"""Gateways for hostile requests, and how much of each attack a usual test run makes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.processes import free_port

from .canary_tree import CanaryTree
from .gateway import Evil, running

Starter = Callable[..., AbstractContextManager[Evil]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("evil", "hostile input")
    group.addoption("--evil", type=int, default=1, help="so many times as much as in a usual run (default 1)")


@pytest.fixture(scope="session")
def evil_factor(pytestconfig: pytest.Config) -> int:
    """How many times as much as in a usual run. The option exists only when pytest is told to run this folder."""
    return int(pytestconfig.getoption("--evil", 1))


@pytest.fixture(scope="session")
def start_evil() -> Starter:
    """``with start_evil(extra, environment, changes, wrapper) as evil`` runs one in a new folder, see ``running``."""
    return _start


@pytest.fixture(scope="module")
def evil(start_evil: Starter) -> Iterator[Evil]:
    """A gateway of this module's own."""
    with start_evil() as made:
        yield made


@contextmanager
def _start(
    extra: str = "",
    environment: dict[str, str] | None = None,
    changes: Sequence[tuple[str, str]] = (),
    wrapper: Sequence[str] = (),
) -> Iterator[Evil]:
    folder = Path(tempfile.mkdtemp(prefix="scigate-evil-")).resolve()
    try:
        with running(folder, free_port(), extra, environment, changes, wrapper) as made:
            yield made
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)  # shutil cannot, with folders 2,000 deep


@contextmanager
def planted(evil: Evil) -> Iterator[CanaryTree]:
    """The lab with folders, and links that lead out of it; and canaries around it."""
    dress(evil.lab)
    tree = CanaryTree(evil.folder / "around", evil.lab, (evil.folder / "around" / "peer",))
    tree.plant()
    yield tree
    tree.close()


def dress(lab: Path) -> None:
    """Files and folders inside the root, links that lead out of it, and what is no file."""
    for folder in ("folder", "a/b", "up"):
        (lab / folder).mkdir(parents=True, exist_ok=True)
    for name in ("file", "folder/file", "a/b/file"):
        (lab / name).write_text("inside")
    links = {"link": "..", "uplink": "../../", "rootlink": "/", "selflink": "selflink", "proclink": "/proc/self"}
    for name, target in links.items():
        (lab / name).symlink_to(target)
    os.mkfifo(lab / "fifo")
