"""Storages without room: bytes, inodes, quotas; and volumes of the database and of the log that are full."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .mounts import Mounts
from .stand import Program, Stand, drafts, problem, until

MiB = 1 << 20
SMALL, LARGE = 100_000, 9 * MiB
Make = Callable[..., Stand]


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (MiB, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_full_storage_is_waited_for_and_nobody_else_is_disturbed(stand: Make, mounts: Mounts, size: int) -> None:
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="12m")
    made = stand(storages={"lab": None, "out": None, "disk": disk})
    (made.root("lab") / "f").write_bytes(os.urandom(size))
    (disk / "f").write_bytes(b"old")
    made.start()
    ballast = fill(disk)
    stuck = made.submit(("lab:/f", "disk:/f"), overwrite="overwrite")
    file = made.wait_for(stuck, "WAITING")
    assert file["cause"]["code"] == "no-space"
    assert "disk" in file["cause"]["message"]
    assert file["cause"]["retriable"]
    assert made.wait(made.submit(("lab:/f", "out:/f"), user="ada"))["state"] == "DONE"
    assert made.wait(made.submit(("lab:/f", "out:/g"), user="ada"))["state"] == "DONE"
    assert (disk / "f").read_bytes() == b"old"
    ballast.unlink()
    assert made.wait(stuck)["state"] == "DONE"
    made.settle("faults.disk", began, fault="ENOSPC")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_disk_that_fills_up_while_it_is_written_leaves_nothing(stand: Make, mounts: Mounts, size: int) -> None:
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="12m")
    made = stand(storages={"lab": None, "disk": disk})
    for number in range(4):  # together they need more than there is
        (made.root("lab") / f"f{number}").write_bytes(os.urandom(4 * MiB if size == LARGE else size))
    if size == SMALL:
        mounts.remount(disk, "size=300k")
    made.start()
    transfer = made.submit(*[(f"lab:/f{number}", f"disk:/f{number}") for number in range(4)])
    until(lambda: made.get(transfer)["files"]["done"] >= 1 and made.get(transfer)["files"]["waiting"] >= 1,
          tell=lambda: made.tell(transfer))  # fmt: skip
    mounts.remount(disk, "size=40m")
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="ENOSPC while writing")


def test_a_storage_that_stays_full_pauses_the_file_until_its_owner_resumes(
    stand: Make, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.SPACE_TRIES", 3)
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="4m")
    made = stand(storages={"lab": None, "disk": disk}).start()
    (made.root("lab") / "f").write_bytes(b"x" * 5 * MiB)
    transfer = made.submit(("lab:/f", "disk:/f"))
    file = made.wait_for(transfer, "PAUSED")
    assert file["cause"]["code"] == "no-space"
    assert made.events(transfer).count("failure") == 4
    until(lambda: drafts(disk) == [])
    mounts.remount(disk, "size=12m")
    made.ask(transfer, "resume")
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="ENOSPC that lasts")


def test_a_storage_without_inodes_is_full(stand: Make, mounts: Mounts) -> None:
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="12m", nr_inodes=12)
    made = stand(storages={"lab": None, "disk": disk})
    for number in range(20):
        (made.root("lab") / f"f{number:02}").write_bytes(b"x" * 1000)
    made.start()
    transfer = made.submit(*[(f"lab:/f{number:02}", f"disk:/f{number:02}") for number in range(20)])
    waiting: list[dict[str, Any]] = []

    def some_wait() -> bool:
        waiting[:] = [file for file in made.files(transfer) if file["state"] == "WAITING"]
        return bool(waiting)

    until(some_wait, tell=lambda: made.tell(transfer))
    assert {file["cause"]["code"] for file in waiting} == {"no-space"}
    mounts.remount(disk, "nr_inodes=60")
    assert made.wait(transfer)["state"] == "DONE"
    assert len(os.listdir(disk)) == 20
    made.settle("faults.disk", began, fault="no inodes")


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_quota_that_is_reached_is_no_space(stand: Make, mounts: Mounts, call: str) -> None:
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place})
    (made.root("lab") / "f").write_bytes(os.urandom(LARGE))
    disk.rules(**{call: "EDQUOT", "after": 0 if call == "fsync" else 5 * MiB})
    made.start()
    transfer = made.submit(("lab:/f", "disk:/f"))
    assert made.wait_for(transfer, "WAITING")["cause"]["code"] == "no-space"
    disk.rules()
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault=f"EDQUOT at {call}")


def test_a_full_volume_of_the_database_refuses_work_keeps_what_there_is_and_goes_on(
    stand: Make, mounts: Mounts
) -> None:
    """Nothing hangs: who only reads is answered, who wants something recorded is refused soon."""
    began = time.monotonic()
    volume = mounts.ext4("volume", 24 * MiB)
    made = stand(state=volume / "state")
    for number in range(40):
        (made.root("lab") / f"f{number}").write_bytes(os.urandom(SMALL))
    made.start()
    first = made.submit(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(20)])
    ballast = fill(volume)
    refused = None
    for number in range(20, 400):
        answer = made.post(
            (f"lab:/f{number % 40}", f"out:/more/{number}"), ("lab:/" + "x" * 2000, "out:/" + "y" * 2000)
        )
        if answer.status_code != 202:
            refused = answer
            break
    assert refused is not None, "the volume was never full"
    problem(refused, 503, "database-unavailable")
    for ask in (
        lambda: made.client().get("/api/v1/transfers").raise_for_status(),
        lambda: made.client().get("/healthz").raise_for_status(),
        lambda: problem(made.post(("lab:/f0", "out:/late")), 503, "database-unavailable"),
    ):
        asked = time.monotonic()
        ask()
        assert time.monotonic() - asked < 28, "a full disk is told, not waited for"
    ballast.unlink()
    until(lambda: made.post(("lab:/f0", "out:/late")).status_code == 202)
    assert made.wait(first)["state"] == "DONE"
    until(lambda: all(t["finished"] for t in made.client().get("/api/v1/transfers?limit=1000").json()["items"]))
    assert made.integrity() == "ok"
    made.settle("faults.database", began, fault="ENOSPC of the database")


def test_a_full_volume_of_the_log_stops_nothing(tmp_path: Path, mounts: Mounts) -> None:
    began = time.monotonic()
    volume = mounts.tmpfs("log", size="64k")
    made = Program(tmp_path / "stand", log=volume / "gateway.log")
    try:
        (made.root("lab") / "f").write_bytes(os.urandom(LARGE))
        fill(volume)
        made.start()
        for number in range(5):
            assert made.wait(made.submit(("lab:/f", f"out:/f{number}")))["state"] == "DONE"
        made.settle("faults.disk", began, fault="ENOSPC of the log")
    finally:
        made.close()
