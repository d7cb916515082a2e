"""The POSIX storage on full disks, failing system calls, old kernels, and file systems without locks."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scigate.storage_backends.backend import KiB, MiB, PartReceipt
from scigate.storage_backends.errors import NoSpace, Unreachable
from scigate.storage_backends.posix import PosixBackend, PosixOptions
from scigate.storage_backends.posix_draft import PosixDraft

BLOCK = MiB


def write(draft: PosixDraft, data: bytes, numbers: list[int] | None = None) -> list[PartReceipt]:
    order = range(-(-len(data) // BLOCK)) if numbers is None else numbers
    return [write_block(draft, data, number) for number in order]


def write_block(draft: PosixDraft, data: bytes, number: int) -> PartReceipt:
    block = data[number * BLOCK : (number + 1) * BLOCK]
    pieces = (block[start : start + 300 * KiB] for start in range(0, len(block), 300 * KiB))
    return draft.write(number, number * BLOCK, len(block), pieces)


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(".scigate-"))


def open_files(folder: Path) -> list[str]:
    """What this process has open below ``folder``."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in links if link.startswith(f"{folder}/"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"may not mount: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_file_too_large_for_the_disk_is_refused_at_once(small_disk: Path) -> None:
    storage = PosixBackend(PosixOptions(root=str(small_disk)))
    with pytest.raises(NoSpace, match=r"5242880 bytes \(5\.0 MiB\), \d\.\d MiB are free"):
        storage.draft("x", 5 * MiB, key="k")
    assert hidden(small_disk) == []


def test_a_disk_that_fills_up_is_no_space_and_the_old_file_stays(small_disk: Path) -> None:
    storage = PosixBackend(PosixOptions(root=str(small_disk)))
    storage.put("x", b"old")
    draft = storage.draft("x", 3 * MiB, key="k")
    (small_disk / "other").write_bytes(b"x" * 2 * MiB)
    with pytest.raises(NoSpace):
        write(draft, b"y" * 3 * MiB)
    draft.discard()
    assert hidden(small_disk) == [] and (small_disk / "x").read_bytes() == b"old"


def test_a_deferred_draft_on_a_file_system_mounted_below_is_synced_itself(tmp_path: Path, small_disk: Path) -> None:
    storage = PosixBackend(PosixOptions(root=str(tmp_path)))
    below, here = (storage.draft(path, 1, key="k", deferred=True) for path in ("disk/x", "x"))
    for draft in (below, here):
        write(draft, b"1")
        draft.seal()
    left = [str(small_disk / ".scigate-k")]
    assert open_files(tmp_path) == left, "only what extras.sync reaches is left to it, and closed"
    for draft in (below, here):
        draft.discard()


FAULTY = """
import sys
from scigate.storage_backends.errors import StorageError
from scigate.storage_backends.posix import PosixBackend, PosixOptions
storage = PosixBackend(PosixOptions(root=sys.argv[1]))
draft = storage.draft("x", 1, key="k")
receipts = [draft.write(0, 0, 1, [b"1"])]
for attempt in (draft.seal, draft.seal, lambda: draft.publish(receipts, if_absent=True, digests={})):
    try:
        attempt()
        print("fine")
    except StorageError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def inject(require: Callable[[str], Path], tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Runs a script with a fault injected into system calls; returns what it prints."""
    strace = require("strace")

    def run(fault: str, script: str) -> list[str]:
        call = fault.partition(":")[0]
        command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}"]
        done = subprocess.run([*command, sys.executable, "-c", script, tmp_path], capture_output=True, check=True)
        return done.stdout.decode().split()

    return run


@pytest.mark.parametrize(("number", "error"), [("EIO", "Unreachable"), ("ENOSPC", "NoSpace"), ("EDQUOT", "NoSpace")])
def test_a_failed_fsync_is_final(
    inject: Callable[[str, str], list[str]], tmp_path: Path, number: str, error: str
) -> None:
    assert inject(f"fdatasync:error={number}:when=1", FAULTY) == [error, "Unreachable", "Unreachable"]
    assert os.listdir(tmp_path) == [], "what the medium may not hold is begun anew, not taken over"


def test_a_failed_fsync_of_the_folder_is_reported(inject: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    assert inject("fsync:error=EIO", FAULTY) == ["fine", "fine", "Unreachable"]


@pytest.mark.parametrize(
    "fault", ["openat2:error=ENOSYS", "openat2:error=EPERM", "renameat2:error=EINVAL", "flock:error=ENOSYS"]
)
def test_older_kernels_and_file_systems_get_the_same(
    inject: Callable[[str, str], list[str]], tmp_path: Path, fault: str
) -> None:
    assert inject(fault, FAULTY) == ["fine", "fine", "fine"]
    assert os.listdir(tmp_path) == ["x"] and (tmp_path / "x").read_bytes() == b"1"


def test_link_instead_of_renameat2_replaces_nothing(inject: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    assert inject("renameat2:error=EINVAL", FAULTY) == ["fine", "fine", "AlreadyExists"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_without_locks_a_take_over_never_shares_an_inode(
    inject: Callable[[str, str], list[str]], tmp_path: Path
) -> None:
    script = """
import sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
storage = PosixBackend(PosixOptions(root=sys.argv[1]))
older = storage.draft("x", 3, key="a")
receipts = [older.write(0, 0, 3, [b"123"])]
newer = storage.draft("x", 3, key="b", ref=older.ref)
print(newer.identity == older.identity)
newer.publish(receipts, if_absent=True, digests={})
"""
    assert inject("flock:error=ENOSYS", script) == ["False"]
    assert (tmp_path / "x").read_bytes() == b"123" and hidden(tmp_path) == []


def test_every_failure_is_a_storage_error(inject: Callable[[str, str], list[str]]) -> None:
    script = FAULTY.replace("draft = storage", "try:\n    draft = storage").replace(
        "receipts = [draft",
        "except StorageError as error:\n    print(type(error).__name__)\n    sys.exit()\nreceipts = [draft",
    )
    for number, error in {"EMFILE": "Unreachable", "EROFS": "Misconfigured", "EDQUOT": "NoSpace"}.items():
        assert inject(f"ftruncate,openat2:error={number}:when=2+", script) == [error]


def bytes_from_the_medium() -> int:
    """How many bytes this thread had fetched from a disk so far; others of its process read what they like."""
    lines = Path("/proc/thread-self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes:")))


@pytest.fixture
def medium(tmp_path: Path) -> None:
    """The temporary folder is on a disk."""
    probe = os.open(tmp_path / "probe", os.O_CREAT | os.O_RDWR)
    os.pwrite(probe, bytes(MiB), 0)
    os.fsync(probe)
    os.posix_fadvise(probe, 0, 0, os.POSIX_FADV_DONTNEED)
    before = bytes_from_the_medium()
    os.pread(probe, MiB, 0)
    os.close(probe)
    if bytes_from_the_medium() == before:
        pytest.skip("needs a temporary folder on a disk: here the page cache is the medium")


@pytest.mark.usefixtures("medium")
@pytest.mark.parametrize("verify_from", ["disk", "cache"])
def test_a_copy_is_verified_from_the_medium(tmp_path: Path, verify_from: str) -> None:
    (tmp_path / "x").write_bytes(data := os.urandom(4 * BLOCK))
    storage = PosixBackend(PosixOptions(root=str(tmp_path), verify_from=verify_from))
    assert storage.extras.copy
    storage.extras.copy("x", "y", version=None, if_absent=True, key="k", progress=lambda count: None)
    before = bytes_from_the_medium()
    assert b"".join(bytes(b) for b in storage.read("y")) == data
    fetched = bytes_from_the_medium() - before
    assert fetched >= len(data) if verify_from == "disk" else fetched < BLOCK


@pytest.mark.usefixtures("medium")
@pytest.mark.parametrize(("verify_from", "deferred"), [("disk", False), ("disk", True), ("cache", False)])
def test_a_draft_is_verified_from_the_medium(tmp_path: Path, verify_from: str, deferred: bool) -> None:
    storage = PosixBackend(PosixOptions(root=str(tmp_path), verify_from=verify_from))
    draft = storage.draft("x", 4 * BLOCK, key="k", deferred=deferred)
    data = os.urandom(4 * BLOCK)
    write(draft, data)
    draft.seal()
    assert storage.extras.sync
    storage.extras.sync()
    before = bytes_from_the_medium()
    assert b"".join(bytes(b) for b in draft.read(0, len(data))) == data
    fetched = bytes_from_the_medium() - before
    # A page of a program that it runs may have to be fetched as well.
    assert fetched >= len(data) if verify_from == "disk" else fetched < BLOCK


def test_a_sync_that_fails_for_one_is_told_to_all_whose_bytes_it_may_be_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells it once, to whoever asks first; whoever asks next hears that all is well (syncfs(2))."""
    answers: list[OSError | None] = [OSError(errno.EIO, "told once"), None, None]

    def sync(fd: int) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr("scigate.storage_backends.posix.sync_file_system", sync)
    storage = PosixBackend(PosixOptions(root=str(tmp_path)))
    assert storage.extras.sync
    drafts = [storage.draft(name, 5, key=name, deferred=True) for name in ("ours", "theirs")]
    receipts = [draft.write(0, 0, 5, [b"bytes"]) for draft in drafts]
    for draft in drafts:
        draft.seal()
    with pytest.raises(Unreachable):
        storage.extras.sync()
    storage.extras.sync()
    for draft, receipt in zip(drafts, receipts, strict=True):
        with pytest.raises(Unreachable, match="begun anew"):
            draft.publish([receipt], if_absent=False, digests={})
        draft.discard()
    again = storage.draft("theirs", 5, key="again", deferred=True)
    receipt = again.write(0, 0, 5, [b"bytes"])
    again.seal()
    storage.extras.sync()
    again.publish([receipt], if_absent=False, digests={})
    assert os.listdir(tmp_path) == ["theirs"]
