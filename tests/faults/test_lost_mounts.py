"""File systems that are taken away while a file is written to them, and come back, or another one in their place."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .gates import gate
from .mounts import Mounts
from .stand import Stand, until

MiB = 1 << 20
SMALL, LARGE = 3 * MiB, 36 * MiB  # in one piece; two blocks
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
AT_ONCE = struct.pack("I", 2)  # without writing anything more
Make = Callable[..., Stand]
LONG = pytest.mark.long


def unmounted(mounts: Mounts, disk: Path) -> None:
    """Lazily, as by an impatient administrator: who has a file open goes on writing to it."""
    mounts.unmount(disk)


def torn_out(mounts: Mounts, disk: Path) -> None:
    """The device is gone: from now on every call fails, and what was not synced is lost."""
    folder = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, SHUTDOWN, AT_ONCE)
    finally:
        os.close(folder)


@pytest.mark.parametrize("size", [pytest.param(SMALL, marks=LONG), LARGE], ids=["small", "large"])
@pytest.mark.parametrize("lose", [unmounted, torn_out])
def test_a_file_system_that_goes_in_mid_write_is_waited_for(
    stand: Make, mounts: Mounts, lose: Callable[[Mounts, Path], None], size: int
) -> None:
    began = time.monotonic()
    disk = mounts.ext4("disk", 128 * MiB)
    made = stand(storages={"lab": None, "disk": disk}).start()
    (made.root("lab") / "f").write_bytes(os.urandom(size))
    (disk / "f").write_bytes(b"old")
    (made.root("lab") / "first").write_bytes(b"data")
    assert made.wait(made.submit(("lab:/first", "disk:/first")))["state"] == "DONE"
    held = gate(made, "lab", size // 2)
    transfer = made.submit(("lab:/f", "disk:/f"), overwrite="overwrite")
    assert held.reached.wait(150)
    lose(mounts, disk)
    held.opened.set()
    file = made.wait_for(transfer, "WAITING", "FAILED", "DONE")
    assert file["state"] == "WAITING", made.tell(transfer)
    assert file["cause"]["code"] == "unreachable"
    if lose is torn_out:
        mounts.unmount(disk)
        until(lambda: "not mounted" in str(made.file(transfer)["cause"]), tell=lambda: made.tell(transfer))
    assert list(disk.iterdir()) == [], "the mount point is not the storage"
    mounts.again(disk)
    assert made.wait(transfer)["state"] == "DONE"
    until(lambda: (disk / "f").stat().st_size == size)
    made.settle("faults.disk", began, fault=f"{lose.__name__} in mid-write")


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=LONG)], ids=["small", "large"])
def test_what_was_half_written_to_another_file_system_is_written_anew(stand: Make, mounts: Mounts, size: int) -> None:
    """Where the disk was is another one when the copy goes on: DONE is what is on that one."""
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="128m")
    made = stand(storages={"lab": None, "disk": disk}).start()
    (made.root("lab") / "f").write_bytes(os.urandom(size))
    (made.root("lab") / "first").write_bytes(b"data")
    assert made.wait(made.submit(("lab:/first", "disk:/first")))["state"] == "DONE"
    held = gate(made, "lab", size // 2)
    transfer = made.submit(("lab:/f", "disk:/f"))
    assert held.reached.wait(150)
    mounts.unmount(disk)
    mounts.tmpfs("disk", size="128m")
    held.opened.set()
    assert made.wait(transfer)["state"] == "DONE"
    (made.root("lab") / "first").unlink()  # that one is on the disk that is gone
    made.settle("faults.disk", began, fault="replaced in mid-write")
