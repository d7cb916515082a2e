"""What the POSIX storage said is durable survives a power cut: ext4 that drops all it has not been made to write."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.posix import PosixBackend, PosixOptions

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_LOG = struct.pack("I", 2)
DATA = os.urandom(10_000)


class Disk:
    """A file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.image, self.mounted = folder / "image", folder / "mounted"
        self.mounted.mkdir()
        with self.image.open("wb") as file:
            file.truncate(64 * MiB)

    def run(self, *command: object) -> None:
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"needs a loop-mounted ext4: {done.stderr.decode()}")

    def mount(self) -> None:
        self.run("mount", "-o", "loop", self.image, self.mounted)

    def cut_power(self) -> None:
        """Lose everything that is not on the medium, and start again."""
        handle = os.open(self.mounted, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, WITHOUT_FLUSHING_THE_LOG)
        os.close(handle)
        gc.collect()  # whatever still holds the file system open would keep it as it was
        subprocess.run(["umount", self.mounted], check=True)
        self.mount()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4, to cut the power of a file system")
    disk = Disk(tmp_path)
    disk.run("mkfs.ext4", "-q", "-F", disk.image)
    disk.mount()
    yield disk
    subprocess.run(["umount", "-l", disk.mounted], check=True)


def storage_on(disk: Disk) -> PosixBackend:
    return PosixBackend(PosixOptions(root=str(disk.mounted)))


def contents(disk: Disk) -> dict[str, bytes]:
    storage = storage_on(disk)
    return {entry.path: b"".join(map(bytes, storage.read(entry.path))) for entry in storage.scan()}


def test_without_sync_this_power_cut_loses_data(disk: Disk) -> None:
    (disk.mounted / "x").write_bytes(DATA)
    disk.cut_power()
    assert os.listdir(disk.mounted) == ["lost+found"], "else the other tests here would prove nothing"


def publish(storage: PosixBackend, way: str) -> None:
    """Have ``DATA`` at ``new/folder/x``."""
    if way == "put":
        storage.put("new/folder/x", DATA)
    elif way == "draft":
        draft = storage.draft("new/folder/x", len(DATA), key="k")
        receipts = [draft.write(0, 0, len(DATA), [DATA])]
        draft.seal()
        draft.publish(receipts, if_absent=True, digests={})
    elif way == "copy":
        assert storage.extras.copy
        storage.put("source", DATA)
        storage.extras.copy("source", "new/folder/x", version=None, if_absent=True, key="c", progress=lambda _: None)
    elif way == "move":
        assert storage.extras.move
        storage.put("source", DATA)
        storage.extras.move("source", "new/folder/x", True)


@pytest.mark.parametrize("way", ["put", "draft", "copy", "move"])
def test_what_was_published_is_there(disk: Disk, way: str) -> None:
    publish(storage_on(disk), way)
    disk.cut_power()
    assert contents(disk) == {"new/folder/x": DATA} | ({"source": DATA} if way == "copy" else {})


def publish_deferred(storage: PosixBackend) -> None:
    drafts = [storage.draft(f"{n % 3}/{n}", len(DATA), key=f"k{n}", deferred=True) for n in range(7)]
    receipts = [draft.write(0, 0, len(DATA), [DATA]) for draft in drafts]
    assert storage.extras.sync
    storage.extras.sync()
    for draft, receipt in zip(drafts, receipts, strict=True):
        draft.publish([receipt], if_absent=True, digests={})
    storage.extras.sync()


def test_deferred_drafts_are_there_after_sync(disk: Disk) -> None:
    publish_deferred(storage_on(disk))
    disk.cut_power()
    assert contents(disk) == {f"{n % 3}/{n}": DATA for n in range(7)}
