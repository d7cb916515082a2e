"""Disks that fail, lie, crawl or go away under a gateway that reads and writes them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .mounts import Mounts
from .stand import Program, Stand, drafts, until

MiB = 1 << 20
SMALL, LARGE = 100_000, 9 * MiB
Make = Callable[..., Stand]


class Pulse(threading.Thread):
    """How long this process was held up at most, by others or by the disk of ``folder``, in seconds, since this was
    made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._file = folder / "pulse"
        self._over, self._worst = threading.Event(), 0.0
        self.start()

    def run(self) -> None:
        last = time.monotonic()
        with self._file.open("wb", buffering=0) as file:
            while not self._over.wait(0.05):
                file.write(b".")
                os.fsync(file.fileno())
                now = time.monotonic()
                self._worst, last = max(self._worst, now - last - 0.05), now

    def end(self) -> float:
        self._over.set()
        self.join()
        return self._worst


def damaged(stand: Stand, transfer: str) -> bool:
    """Whether wrong bytes were noticed at the destination: in a block, or in a small file as a whole."""
    events = stand.client().get(f"{transfer}/events?limit=1000").text
    return "scigate.file.damaged" in events or "digest-mismatch" in events


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_source_that_cannot_be_read_for_a_while_is_waited_for(stand: Make, mounts: Mounts, size: int) -> None:
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"disk": disk.place, "out": None}).start()
    (disk.behind / "f").write_bytes(os.urandom(size))
    disk.rules(read="EIO", after=size // 2)
    transfer = made.submit(("disk:/f", "out:/f"))
    file = made.wait_for(transfer, "WAITING")
    assert file["cause"]["code"] == "unreachable"
    assert "disk" in file["cause"]["message"]
    assert not (made.root("out") / "f").exists()
    disk.rules()
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="EIO at read")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_write_that_fails_leaves_the_old_file_and_is_made_again(stand: Make, mounts: Mounts, size: int) -> None:
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place}).start()
    (made.root("lab") / "f").write_bytes(os.urandom(size))
    (disk.behind / "f").write_bytes(b"old")
    disk.rules(write="EIO", after=size // 2)
    transfer = made.submit(("lab:/f", "disk:/f"), overwrite="overwrite")
    assert made.wait_for(transfer, "WAITING")["cause"]["code"] == "unreachable"
    assert (disk.behind / "f").read_bytes() == b"old"
    disk.rules()
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="EIO at write")


def test_a_draft_whose_fsync_failed_is_never_synced_again_and_believed(stand: Make, mounts: Mounts) -> None:
    """The kernel reports a failed write-back once and drops the pages: a second fsync of the same file proves nothing
    (fsync(2), and PostgreSQL's experience of 2018)."""
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place}).start()
    (made.root("lab") / "f").write_bytes(os.urandom(LARGE))
    disk.rules(fsync="EIO", left=3)
    transfer = made.submit(("lab:/f", "disk:/f"))
    assert made.wait(transfer)["state"] == "DONE"
    assert made.events(transfer).count("failure") == 3
    failed: set[str] = set()
    for call, path in (line.split() for line in disk.calls()):
        assert path not in failed, f"{call} of {path}, whose fsync had failed"
        if call == "fsync-failed":
            failed.add(path)
    assert len(failed) == 3
    made.settle("faults.disk", began, fault="EIO at fsync")


def test_small_files_whose_common_sync_failed_are_not_believed(
    program: Callable[..., Program], require: Callable[[str], Path]
) -> None:
    began = time.monotonic()
    fault = ("-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO:when=2..3")
    made = program(wrapped=(str(require("strace")), "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", *fault))
    for number in range(30):
        (made.root("lab") / f"f{number}").write_bytes(os.urandom(1000))
    made.start()
    transfer = made.submit(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(30)])
    assert made.wait(transfer)["state"] == "DONE"
    assert "failure" in made.events(transfer)
    made.settle("faults.disk", began, fault="EIO at syncfs")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_disk_that_turns_read_only_is_waited_for(stand: Make, mounts: Mounts, size: int) -> None:
    """So does ext4 when the disk below it fails; who mounts it again has nothing to retry."""
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place, "out": None}).start()
    (made.root("lab") / "f").write_bytes(os.urandom(size))
    (disk.behind / "f").write_bytes(b"old")
    disk.rules(write="EROFS", after=size // 2)
    transfer = made.submit(("lab:/f", "disk:/f"), overwrite="overwrite")
    cause = made.wait_for(transfer, "WAITING", "FAILED")["cause"]
    assert made.file(transfer)["state"] != "FAILED"
    assert "mounted read-only" in cause["message"]
    assert "mounted" in cause["next_step"]
    assert (disk.behind / "f").read_bytes() == b"old"
    (disk.behind / "g").write_bytes(b"kept there")
    assert made.wait(made.submit(("disk:/g", "out:/g")))["state"] == "DONE", "it can still be read"
    disk.rules()
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="EROFS")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_bit_that_flips_between_writing_and_verifying_is_found_and_written_again(
    stand: Make, mounts: Mounts, size: int
) -> None:
    began, rng, tries = time.monotonic(), random.Random(size), 5 if size == SMALL else 2
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place}).start()
    (made.root("lab") / "f").write_bytes(rng.randbytes(size))
    for number in range(tries):
        disk.rules(flip=rng.randrange(size), run=number)
        transfer = made.submit(("lab:/f", f"disk:/f{number}"))
        assert made.wait(transfer)["state"] == "DONE"
        assert damaged(made, transfer), "the flipped bit was not noticed"
    made.settle("faults.disk", began, runs=tries, fault="a bit at rest")


def test_a_disk_that_crawls_does_not_make_the_gateway_crawl(stand: Make, mounts: Mounts) -> None:
    """Nor does it look dead to others: the lease is kept while the movers are stuck in the kernel."""
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": None, "disk": disk.place, "out": None}, limits={"lease_seconds": 2})
    (made.root("lab") / "f").write_bytes(os.urandom(SMALL))
    made.start()
    pulse = Pulse(made.folder)
    disk.rules(stuck=True)
    slow = made.submit(("lab:/f", "disk:/f"))
    until(lambda: drafts(disk.behind) != [])
    stuck = time.monotonic()
    assert made.wait(made.submit(("lab:/f", "out:/f"), user="bo"))["state"] == "DONE"
    worst = 0.0
    for _ in range(20):
        asked = time.monotonic()
        assert made.client().get("/api/v1/transfers").status_code == 200
        worst = max(worst, time.monotonic() - asked)
    time.sleep(max(0.0, stuck + 5.0 - time.monotonic()))  # much longer than the lease
    assert made.get(slow)["finished"] is None, "the disk was not slow"
    disk.rules()
    assert made.wait(slow)["state"] == "DONE"
    held_up = pulse.end()  # by the machine: then answers come late, and leases run out, whatever the disk does
    assert worst < 30.0 + held_up, "an answer waited for the disk"
    assert "lapse" not in made.events(slow) or held_up > 1.0
    made.settle("faults.disk", began, fault="slow", worst_answer=round(worst, 3))


def test_a_root_that_is_gone_for_a_while_is_waited_for(stand: Make) -> None:
    began = time.monotonic()
    made = stand().start()
    root, aside = made.root("out"), made.folder / "aside"
    (made.root("lab") / "f").write_bytes(os.urandom(SMALL))
    assert made.wait(made.submit(("lab:/f", "out:/f")))["state"] == "DONE"
    root.rename(aside)
    transfer = made.submit(("lab:/f", "out:/g"))
    assert made.wait_for(transfer, "WAITING")["cause"]["code"] == "unreachable"
    assert not root.exists(), "a root is never made"
    aside.rename(root)
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="root missing")


@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_file_system_that_is_unmounted_is_waited_for_and_its_mount_point_not_used(
    stand: Make, mounts: Mounts, end: str
) -> None:
    """What is below a mount point is not what the administrator meant: files would be 'not found', or end up on the
    system's own disk and be hidden by the next mount."""
    began = time.monotonic()
    disk = mounts.tmpfs("disk", size="4m")
    made = stand(storages={"disk": disk, "other": None}).start()
    pair = ("disk:/f", "other:/f") if end == "source" else ("other:/f", "disk:/f")
    source = (disk if end == "source" else made.root("other")) / "f"
    source.write_bytes(os.urandom(SMALL))
    assert made.wait(made.submit(pair))["state"] == "DONE"
    data = source.read_bytes()
    mounts.unmount(disk)
    transfer = made.submit(pair, overwrite="overwrite")
    assert made.wait_for(transfer, "WAITING", "FAILED", "DONE")["state"] == "WAITING"
    assert made.file(transfer)["cause"]["code"] == "unreachable"
    assert list(disk.iterdir()) == []
    mounts.tmpfs("disk", size="4m")
    if end == "source":
        source.write_bytes(data)
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault=f"unmounted {end}")
