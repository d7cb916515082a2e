"""The POSIX storage: what is stored comes back, names are kept, and nothing outside the root is touched."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from scigate.storage_backends.backend import KiB, Kind, MiB
from scigate.storage_backends.errors import (
    AccessDenied,
    AlreadyExists,
    DigestMismatch,
    InvalidName,
    Misconfigured,
    NotFound,
    NotRegular,
    Permanent,
    SourceChanged,
    Truncated,
    Unreachable,
)
from scigate.storage_backends.posix import TYPE, PosixBackend, PosixOptions
from scigate.storage_backends.posix_calls import open_beneath, open_stepwise
from scigate.storage_backends.registry import BackendRegistry


@pytest.fixture(params=[open_beneath, open_stepwise], ids=["openat2", "openat"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> PosixBackend:
    (tmp_path / "root").mkdir()
    return PosixBackend(PosixOptions(root=str(tmp_path / "root")), request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def content(storage: PosixBackend, path: str, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join(bytes(buffer) for buffer in storage.read(path, offset, length))


def open_files(folder: Path) -> list[str]:
    """What this process has open below ``folder``: elsewhere its other threads open and close what they like."""
    gc.collect()  # errors of earlier tests may hold files
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in links if link.startswith(f"{folder}/"))


def test_it_is_an_installed_backend_type() -> None:
    assert BackendRegistry().get("posix") is TYPE


@pytest.mark.parametrize("root", ["data", "", "./x", "~no-such-user/x", "/a\0b"])
def test_a_root_that_is_not_absolute_is_refused_in_the_settings(root: str) -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        PosixOptions(root=root)


def test_a_root_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PosixOptions(root="~/data").root == f"{tmp_path}/data"


def test_a_missing_root_is_only_noticed_at_first_use(tmp_path: Path) -> None:
    storage = TYPE.build(PosixOptions(root=str(tmp_path / "later")))
    with pytest.raises(Misconfigured, match="later"):
        storage.stat("x")
    (tmp_path / "later").mkdir()
    assert storage.put("x", b"1").size == 1


def test_a_root_that_is_a_file_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Misconfigured, match="Not a directory"):
        TYPE.build(PosixOptions(root=str(tmp_path / "file"))).stat("x")


def test_a_root_that_vanishes_is_worth_another_try_and_one_put_in_its_place_is_used(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    storage = PosixBackend(PosixOptions(root=str(root)))
    storage.put("x", b"old")
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(Unreachable):
        storage.stat("x")
    root.mkdir()
    storage.put("y", b"new")
    assert (root / "y").read_bytes() == b"new" and not (tmp_path / "elsewhere" / "y").exists()


def test_put_stat_read_delete(storage: PosixBackend, root: Path) -> None:
    entry = storage.put("h3a/run7/a.bam", b"reads")
    assert (root / "h3a/run7/a.bam").read_bytes() == b"reads"
    assert entry == storage.stat("h3a/run7/a.bam")
    assert (entry.kind, entry.size) == (Kind.FILE, 5)
    assert content(storage, "h3a/run7/a.bam") == b"reads"
    storage.delete("h3a/run7/a.bam")
    with pytest.raises(NotFound):
        storage.stat("h3a/run7/a.bam")


def test_put_replaces_unless_if_absent(storage: PosixBackend) -> None:
    first = storage.put("x", b"one")
    with pytest.raises(AlreadyExists):
        storage.put("x", b"two", if_absent=True)
    assert content(storage, "x") == b"one"
    assert storage.put("x", b"two").version != first.version
    assert [entry.path for entry in storage.scan()] == ["x"]


def test_put_checks_the_digests_it_knows_before_it_stores(storage: PosixBackend, root: Path) -> None:
    with pytest.raises(DigestMismatch):
        storage.put("x", b"data", digests={"md5": "0" * 32})
    assert os.listdir(root) == []
    storage.put("x", b"data", digests={"md5": "8d777f385d3dfec8815d20f7496026dc", "unheard-of": "1"})


@pytest.mark.parametrize("size", [0, 1, MiB - 1, MiB, MiB + 1, 5 * MiB])
def test_read_gives_exactly_what_is_stored(storage: PosixBackend, root: Path, size: int) -> None:
    data = os.urandom(size)
    (root / "x").write_bytes(data)
    assert content(storage, "x") == data
    assert content(storage, "x", size // 2) == data[size // 2 :]
    assert content(storage, "x", size // 3, size // 3) == data[size // 3 : size // 3 * 2]


def test_a_range_beyond_the_end_is_truncated(storage: PosixBackend) -> None:
    storage.put("x", b"12345")
    for offset, length in [(0, 6), (6, None), (5, 1), (-1, 2), (0, -1)]:
        with pytest.raises(Truncated):
            content(storage, "x", offset, length)
    assert content(storage, "x", 5) == b""


def test_read_of_another_version_is_refused_before_the_first_buffer(storage: PosixBackend) -> None:
    old = storage.put("x", b"one")
    new = storage.put("x", b"two")
    with pytest.raises(SourceChanged):
        next(storage.read("x", version=old.version))
    assert b"".join(storage.read("x", version=new.version)) == b"two"


def test_a_file_written_to_while_it_is_read_is_noticed(storage: PosixBackend, root: Path) -> None:
    (root / "x").write_bytes(bytes(3 * MiB))
    reading = storage.read("x")
    next(reading)
    with (root / "x").open("r+b") as file:
        file.write(b"changed")
    os.utime(root / "x", (0, 0))  # the modification time can be set back, the change time cannot
    with pytest.raises(SourceChanged):
        list(reading)


def test_a_file_cut_short_while_it_is_read_is_truncated(storage: PosixBackend, root: Path) -> None:
    (root / "x").write_bytes(bytes(3 * MiB))
    reading = storage.read("x")
    next(reading)
    os.truncate(root / "x", MiB)
    with pytest.raises(Truncated):
        list(reading)


def test_the_version_changes_with_content_of_the_same_size_and_time(storage: PosixBackend, root: Path) -> None:
    before = storage.put("x", b"one")
    times, end = (root / "x").stat(), time.monotonic() + 120
    (root / "x").write_bytes(b"two")
    while (root / "x").stat().st_ctime_ns == times.st_ctime_ns and time.monotonic() < end:
        (root / "x").write_bytes(b"two")  # again: the clock of older kernels ticks some 100 times a second
    os.utime(root / "x", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert storage.stat("x").version != before.version


def test_reading_leaves_no_file_open(storage: PosixBackend, root: Path) -> None:
    (root / "x").write_bytes(bytes(3 * MiB))
    storage.stat("x")
    reading = storage.read("x")
    next(reading)
    assert open_files(root) == [str(root / "x")]
    reading.close()  # type: ignore[attr-defined]
    for _ in range(3):
        list(storage.read("x"))
        with pytest.raises(NotFound):
            list(storage.read("nothing"))
        with pytest.raises(InvalidName):
            list(storage.read("../x"))
    assert open_files(root) == []


def test_folders(storage: PosixBackend) -> None:
    storage.put("run/a", b"x")
    assert storage.stat("run/").kind is Kind.FOLDER and storage.stat("").kind is Kind.FOLDER
    assert storage.stat("run").path == "run/"
    for attempt in (
        lambda: list(storage.read("run")),
        lambda: list(storage.read("run/")),
        lambda: storage.delete("run"),
    ):
        with pytest.raises(NotRegular):
            attempt()
    with pytest.raises(NotFound):
        storage.stat("run/a/")
    with pytest.raises(NotFound):
        storage.stat("run/a/b")
    with pytest.raises(NotRegular, match="part of it is a file"):
        storage.put("run/a/b", b"")
    with pytest.raises(NotRegular):
        storage.put("run", b"")
    with pytest.raises(InvalidName):
        storage.put("run/", b"")


def test_only_empty_folders_are_deleted(storage: PosixBackend) -> None:
    storage.put("run/a", b"x")
    with pytest.raises(Permanent, match="not empty"):
        storage.delete("run/")
    with pytest.raises(NotFound):
        storage.delete("run/a/")
    storage.delete("run/a")
    storage.delete("run/")
    with pytest.raises(NotFound):
        storage.delete("run/")
    with pytest.raises(InvalidName, match="root"):
        storage.delete("")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and this process without the rights of root while the test runs."""
    folder = Path(tempfile.mkdtemp(prefix="scigate-posix-"))
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
        shutil.rmtree(folder)


def test_missing_rights_are_access_denied_and_never_hidden(unprivileged: Path) -> None:
    storage = PosixBackend(PosixOptions(root=str(unprivileged)))
    storage.put("closed/x", b"")
    storage.put("read-only/x", b"")
    storage.put("z", b"")
    (unprivileged / "closed").chmod(0)
    (unprivileged / "read-only").chmod(0o555)
    for attempt in (
        lambda: storage.stat("closed/x"),
        lambda: list(storage.read("closed/x")),
        lambda: list(storage.scan("closed/")),
        lambda: storage.put("read-only/y", b""),
        lambda: storage.delete("read-only/x"),
    ):
        with pytest.raises(AccessDenied, match="Permission denied"):
            attempt()
    found = list(storage.scan())
    assert [entry.path for entry in found] == ["closed/", "read-only/x", "z"]
    assert found[0].kind is Kind.OTHER and "Permission denied" in (found[0].note or "")


def test_a_deep_path_works(storage: PosixBackend) -> None:
    path = "d/" * 500 + "x"
    storage.put(path, b"deep")
    assert content(storage, path) == b"deep"
    assert [entry.path for entry in storage.scan()] == [path]


def test_errors_name_the_path_and_are_sentences(storage: PosixBackend) -> None:
    with pytest.raises(NotFound, match="cannot look at 'no/such': there is nothing here") as raised:
        storage.stat("no/such")
    assert raised.value.path == "no/such"


def test_a_large_file_is_read_with_little_memory(storage: PosixBackend, root: Path) -> None:
    with (root / "big").open("wb") as file:
        file.truncate(64 * MiB)
    sizes = {len(buffer) for buffer in storage.read("big")}
    assert max(sizes) <= 8 * MiB and min(sizes) >= 64 * KiB
