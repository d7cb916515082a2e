"""What the POSIX storage can do beyond the contract: copy, digest, move, mkdir, sync, free."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from awscrt import checksums
from blake3 import blake3
from scigate.storage_backends.backend import Entry, Extras, MiB
from scigate.storage_backends.errors import (
    AlreadyExists,
    InvalidName,
    NotFound,
    NotRegular,
    SourceChanged,
    Unsupported,
)
from scigate.storage_backends.posix import PosixBackend, PosixOptions

SIZE = 70 * MiB


@pytest.fixture
def storage(tmp_path: Path) -> PosixBackend:
    return PosixBackend(PosixOptions(root=str(tmp_path)))


@pytest.fixture
def extras(storage: PosixBackend) -> Extras:
    return storage.extras


def copy(storage: PosixBackend, source: str, destination: str, **options: object) -> Entry:
    assert storage.extras.copy
    given = {"version": None, "if_absent": False, "key": "k", "progress": lambda _: None} | options
    return storage.extras.copy(source, destination, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, MiB, SIZE])
def test_copy_copies_and_reports_every_byte(storage: PosixBackend, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    steps: list[int] = []
    entry = copy(storage, "x", "run/y", version=storage.stat("x").version, progress=steps.append)
    assert (tmp_path / "run/y").read_bytes() == data and entry == storage.stat("run/y")
    assert sum(steps) == size and os.listdir(tmp_path / "run") == ["y"]


def test_a_copy_of_a_sparse_file_is_sparse(storage: PosixBackend, tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.seek(100 * MiB)
        file.write(b"in the middle")
        file.truncate(200 * MiB)
    steps: list[int] = []
    copy(storage, "x", "y", progress=steps.append)
    assert sum(steps) == (tmp_path / "y").stat().st_size == 200 * MiB
    assert (tmp_path / "y").stat().st_blocks * 512 < MiB
    assert b"".join(map(bytes, storage.read("y", 100 * MiB, 13))) == b"in the middle"


def test_copy_refuses_another_version_and_what_is_there(storage: PosixBackend, tmp_path: Path) -> None:
    old = storage.put("x", b"one")
    storage.put("x", b"two")
    storage.put("y", b"mine")
    with pytest.raises(SourceChanged):
        copy(storage, "x", "y", version=old.version)
    with pytest.raises(AlreadyExists):
        copy(storage, "x", "y", if_absent=True)
    with pytest.raises(NotFound):
        copy(storage, "no", "y")
    assert sorted(os.listdir(tmp_path)) == ["x", "y"] and (tmp_path / "y").read_bytes() == b"mine"


def test_a_source_that_changes_while_it_is_copied_is_noticed(storage: PosixBackend, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(MiB))

    def change(_: int) -> None:
        with (tmp_path / "x").open("r+b") as file:
            file.write(b"changed")

    with pytest.raises(SourceChanged):
        copy(storage, "x", "y", progress=change)
    assert os.listdir(tmp_path) == ["x"]


def test_raising_in_progress_stops_the_copy(storage: PosixBackend, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(SIZE))
    steps: list[int] = []

    def stop(count: int) -> None:
        steps.append(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(storage, "x", "y", progress=stop)
    assert len(steps) == 1 and os.listdir(tmp_path) == ["x"]


def test_where_the_kernel_cannot_copy_we_do(require: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(9 * MiB))
    script = """
import sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
extras = PosixBackend(PosixOptions(root=sys.argv[1])).extras
extras.copy("x", "y", version=None, if_absent=True, key="k", progress=lambda _: None)
"""
    fault = ["-e", "trace=copy_file_range", "-e", "inject=copy_file_range:error=EXDEV"]
    strace = [require("strace"), "-f", "-qq", "-o", tmp_path / "trace", *fault]
    subprocess.run([*strace, sys.executable, "-c", script, tmp_path], check=True)
    assert "EXDEV" in (tmp_path / "trace").read_text()
    assert (tmp_path / "y").read_bytes() == (tmp_path / "x").read_bytes()


def test_digests_are_those_of_the_standards(storage: PosixBackend, extras: Extras) -> None:
    assert extras.digest
    data = os.urandom(3 * MiB + 1)
    storage.put("x", data)
    expected = {
        "sha-256": hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
        "adler": f"{zlib.adler32(data):08x}",
        "crc32c": f"{checksums.crc32c(data):08x}",
        "crc64nvme": f"{checksums.crc64nvme(data):016x}",
        "blake3": blake3(data).hexdigest(),
    }
    assert {name: extras.digest("x", name) for name in expected} == expected
    with pytest.raises(Unsupported, match="sha-256"):
        extras.digest("x", "sha-3")
    with pytest.raises(NotFound):
        extras.digest("no", "md5")


def test_crcs_of_the_check_string(storage: PosixBackend, extras: Extras) -> None:
    assert extras.digest
    storage.put("x", b"123456789")
    known = {"crc32c": "e3069283", "crc64nvme": "ae8b14860a799888", "adler": "091e01de"}
    assert {name: extras.digest("x", name) for name in known} == known


def test_move(storage: PosixBackend, extras: Extras, tmp_path: Path) -> None:
    assert extras.move
    storage.put("x", b"1")
    storage.put("y", b"2")
    with pytest.raises(AlreadyExists, match="something is at its destination"):
        extras.move("x", "y", True)
    entry = extras.move("x", "new/folder/z", True)
    assert entry == storage.stat("new/folder/z") and not (tmp_path / "x").exists()
    extras.move("new/folder/z", "y", False)
    assert (tmp_path / "y").read_bytes() == b"1"
    with pytest.raises(NotFound):
        extras.move("x", "z", False)


def test_a_folder_moves_whole(storage: PosixBackend, extras: Extras, tmp_path: Path) -> None:
    assert extras.move
    storage.put("run/a", b"1")
    storage.put("full/b", b"2")
    assert extras.move("run/", "old/run/", False).path == "old/run/"
    assert (tmp_path / "old/run/a").read_bytes() == b"1"
    with pytest.raises(AlreadyExists):
        extras.move("old/run/", "full/", False)
    with pytest.raises(InvalidName):
        extras.move("old/", "old/below/", False)
    for source, destination in (("full/", "x"), ("full/b", "x/"), ("", "x/")):
        with pytest.raises(InvalidName):
            extras.move(source, destination, False)
    with pytest.raises(NotRegular):
        extras.move("full", "x", False)


def test_mkdir(storage: PosixBackend, extras: Extras, tmp_path: Path) -> None:
    assert extras.mkdir
    for _ in range(2):
        extras.mkdir("a/b/c/")
    assert (tmp_path / "a/b/c").is_dir()
    storage.put("x", b"")
    with pytest.raises(NotRegular):
        extras.mkdir("x/")
    with pytest.raises(NotRegular):
        extras.mkdir("x/y/")
    with pytest.raises(InvalidName):
        extras.mkdir("no-slash")


def test_sync_makes_deferred_drafts_durable_with_few_calls(require: Callable[[str], Path], tmp_path: Path) -> None:
    script = """
import sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
storage = PosixBackend(PosixOptions(root=sys.argv[1] + "/root"))
done = []
for number in range(50):
    draft = storage.draft(f"new/{number}", 1, key=str(number), deferred=True)
    done.append((draft, draft.write(0, 0, 1, [b"x"])))
    draft.seal()
storage.extras.sync()
for draft, receipt in done:
    draft.publish([receipt], if_absent=True, digests={})
storage.extras.sync()
"""
    (tmp_path / "root").mkdir()
    strace = [require("strace"), "-f", "-qq", "-o", tmp_path / "trace", "-e", "trace=fsync,fdatasync,syncfs"]
    subprocess.run([*strace, sys.executable, "-c", script, tmp_path], check=True)
    calls = (tmp_path / "trace").read_text()
    assert (calls.count("syncfs("), calls.count("fsync("), calls.count("fdatasync(")) == (2, 0, 0)
    assert len(os.listdir(tmp_path / "root/new")) == 50


def test_a_published_file_its_name_and_its_new_folders_are_synced(
    require: Callable[[str], Path], tmp_path: Path
) -> None:
    script = """
import sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
PosixBackend(PosixOptions(root=sys.argv[1] + "/lab")).put("a/b/x", b"1")
"""
    (tmp_path / "lab").mkdir()
    strace = [
        require("strace"),
        "-f",
        "-qq",
        "-y",
        "-o",
        tmp_path / "trace",
        "-e",
        "trace=fsync,fdatasync,rename,renameat",
    ]
    subprocess.run([*strace, sys.executable, "-c", script, tmp_path], check=True)
    calls = [line.split(" ", 1)[1].strip() for line in (tmp_path / "trace").read_text().splitlines()]
    kept = [call.replace(str(tmp_path), "") for call in calls if str(tmp_path) in call]
    order = [call.split("(")[0] + " " + call.split("<")[1].split(">")[0] for call in kept]
    assert order[:3] == ["fsync /lab", "fsync /lab/a", f"fdatasync {order[2].split(' ')[1]}"]
    assert [word.split()[0] for word in order[3:]] == ["renameat", "fsync"] and order[4] == "fsync /lab/a/b"


def test_an_abandoned_draft_does_not_come_back_after_a_power_cut(
    require: Callable[[str], Path], tmp_path: Path
) -> None:
    script = """
import sys
from datetime import UTC, datetime
from scigate.storage_backends.posix import PosixBackend, PosixOptions
storage = PosixBackend(PosixOptions(root=sys.argv[1]))
storage.draft("x", 1, key="k", deferred=True)
for _ in range(2):
    storage.abandon("x", key="k", ref=None, since=datetime.now(UTC))
"""
    strace = [require("strace"), "-f", "-qq", "-o", tmp_path / "trace", "-e", "trace=fsync,fdatasync"]
    subprocess.run([*strace, sys.executable, "-c", script, tmp_path], check=True)
    assert os.listdir(tmp_path) == ["trace"] and (tmp_path / "trace").read_text().count("fsync(") == 1


def test_free(extras: Extras, tmp_path: Path) -> None:
    assert extras.free
    found, told, after = os.statvfs(tmp_path), extras.free(), os.statvfs(tmp_path)
    end = time.monotonic() + 120
    while found.f_bavail != after.f_bavail and time.monotonic() < end:  # somebody else writes there in between
        found, told, after = os.statvfs(tmp_path), extras.free(), os.statvfs(tmp_path)
    assert told == found.f_bavail * found.f_frsize
    assert extras.total
    assert extras.total() == found.f_blocks * found.f_frsize
