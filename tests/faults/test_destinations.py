"""Destinations at which somebody else is at work while a file is copied."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .gates import gate
from .stand import Stand, until

MiB = 1 << 20
SMALL, LARGE = 3 * MiB, 33 * MiB
SIZES = pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.long)], ids=["small", "large"])
Make = Callable[..., Stand]
THEIRS = b"what somebody else put there meanwhile"


def copied_meanwhile(made: Stand, size: int, act: Callable[[], object], name: str = "f", **options: str) -> str:
    """A transfer to ``out:/run/`` that ends after ``act`` was done in its middle."""
    (made.root("lab") / name).write_bytes(os.urandom(size))
    half = gate(made, "lab", size // 2)
    transfer = made.submit((f"lab:/{name}", f"out:/run/{name}"), **options)
    assert half.reached.wait(150)
    act()
    half.opened.set()
    until(lambda: made.get(transfer)["finished"] is not None, tell=lambda: made.tell(transfer))
    return transfer


@SIZES
@pytest.mark.parametrize("policy", ["fail", "skip-same", "newer", "overwrite"])
def test_what_appears_meanwhile_is_treated_by_the_policy(stand: Make, size: int, policy: str) -> None:
    """As if it had been there before: ``newer`` and ``skip-same`` replace nothing that they would have left alone."""
    began = time.monotonic()
    made = stand(limits={"streams": 1}).start()
    for theirs in ("same", "older", "newer"):
        _appears_meanwhile(made, size, policy, theirs)
    made.settle("faults.disk", began, runs=3, fault=f"destination appears, {policy}")


def _appears_meanwhile(made: Stand, size: int, policy: str, theirs: str) -> None:
    source, destination = made.root("lab") / theirs, made.root("out") / "run" / theirs

    def appear() -> None:
        destination.parent.mkdir(exist_ok=True)
        destination.write_bytes(source.read_bytes() if theirs == "same" else THEIRS.ljust(size, b"."))
        ago = 3600 if theirs == "older" else -3600
        os.utime(destination, (time.time() - ago, time.time() - ago))

    transfer = copied_meanwhile(made, size, appear, theirs, overwrite=policy)
    file = made.file(transfer)
    kept = destination.read_bytes() != source.read_bytes()
    expected = {
        "fail": ("FAILED", theirs != "same"), "overwrite": ("DONE", False), "skip-same": ("DONE", False),
        "newer": ("DONE", theirs == "newer"),
    }  # fmt: skip
    assert (file["state"], kept) == expected[policy], made.tell(transfer)
    if policy == "fail":
        assert file["cause"]["code"] == "already-exists"
    skips = {"skip-same": ["same"], "newer": ["same", "newer"]}
    assert file["skipped"] is (theirs in skips.get(policy, []))


@SIZES
def test_a_folder_that_is_removed_meanwhile_is_made_again_or_told(stand: Make, size: int) -> None:
    """With the draft of a large file in it somebody has removed the work as well: they are told."""
    began = time.monotonic()
    made = stand(limits={"streams": 1}).start()
    run = made.root("out") / "run"
    transfer = copied_meanwhile(made, size, lambda: shutil.rmtree(run, ignore_errors=True))
    if size == LARGE:
        assert made.file(transfer)["cause"]["code"] == "not-found"
        assert "was removed while the file was written" in made.file(transfer)["cause"]["message"]
        made.ask(transfer, "retry")
        until(lambda: made.get(transfer)["finished"] is not None)
    assert made.file(transfer)["state"] == "DONE", made.tell(transfer)
    made.settle("faults.disk", began, fault="folder removed")


def a_file(run: Path, outside: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    run.write_bytes(THEIRS)


def a_link(run: Path, outside: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    run.symlink_to(outside)


def a_link_with_the_draft(run: Path, outside: Path) -> None:
    """The folder itself is moved outside, with what is being written in it, and a link leads there."""
    if run.exists():
        shutil.rmtree(outside)
        run.rename(outside)
    run.symlink_to(outside)


@SIZES
@pytest.mark.parametrize("become", [a_file, a_link, a_link_with_the_draft])
def test_a_folder_that_becomes_something_else_fails_with_a_cause_and_nothing_goes_outside(
    stand: Make, tmp_path: Path, size: int, become: Callable[[Path, Path], None]
) -> None:
    began = time.monotonic()
    made = stand(limits={"streams": 1}).start()
    run, outside = made.root("out") / "run", tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(THEIRS)
    before: list[str] = []

    def act() -> None:
        become(run, outside)
        before.extend(os.listdir(outside))

    transfer = copied_meanwhile(made, size, act, overwrite="overwrite")
    file = made.file(transfer)
    assert file["state"] == "FAILED", made.tell(transfer)
    assert file["cause"]["code"] in ("not-regular", "not-found"), file["cause"]
    assert file["cause"]["next_step"]
    assert sorted(os.listdir(outside)) == sorted(before), "something was written outside"
    if become is not a_link_with_the_draft:
        assert (outside / "f").read_bytes() == THEIRS
    made.settle("faults.disk", began, fault=f"folder becomes {become.__name__}")
