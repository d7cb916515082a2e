"""The POSIX storage: what is stored comes back, names are kept, and nothing outside the root is touched."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import tempfile
import threading
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
from scigate.storage_backends.posix_calls import libc, open_beneath, open_stepwise
from scigate.storage_backends.registry import BackendRegistry

ODD_NAMES = [
    "a b ",
    "two\nlines",
    "-rf",
    "%2e%2e",
    "tab\there",
    "back\\slash",
    "...",
    "\u202egnp.exe",
    "e\u0301 and \u00e9",
    "n" * 255,
    "\u00e4" * 127,
    "\udcff\udcfe latin",
    "*?[x]",
    "$(id)`id`;'\"",
    ".hidden",
    "~",
    "con.",
]
BAD_PATHS = [
    "../x",
    "a/../x",
    "/etc/passwd",
    "a//b",
    "./x",
    "a/./b",
    "a/.",
    "x\0y",
    "n" * 256,
    "a/" * 2100 + "b",
    "\ud800",
]


@pytest.fixture(params=[open_beneath, open_stepwise], ids=["openat2", "openat"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> PosixBackend:
    (tmp_path / "root").mkdir()
    return PosixBackend(PosixOptions(root=str(tmp_path / "root")), request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def content(storage: PosixBackend, path: str, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join(bytes(buffer) for buffer in storage.read(path, offset, length))


def exchange(one: Path, other: Path) -> None:
    """Swap two names at once: renameat2(2), RENAME_EXCHANGE."""
    at_cwd = -100
    assert libc().renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), 2) == 0


def open_files() -> int:
    gc.collect()  # errors of earlier tests may hold files
    return len(os.listdir("/proc/self/fd"))


def test_it_is_an_installed_backend_type() -> None:
    assert BackendRegistry().get("posix") is TYPE


@pytest.mark.parametrize("root", ["data", "", "./x", "/a\0b"])
def test_a_root_that_is_not_absolute_is_refused_in_the_settings(root: str) -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        PosixOptions(root=root)


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
    times = (root / "x").stat()
    (root / "x").write_bytes(b"two")
    os.utime(root / "x", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert storage.stat("x").version != before.version


def test_reading_leaves_no_file_open(storage: PosixBackend, root: Path) -> None:
    (root / "x").write_bytes(bytes(3 * MiB))
    storage.stat("x")
    before = open_files()
    reading = storage.read("x")
    next(reading)
    assert open_files() == before + 1
    reading.close()  # type: ignore[attr-defined]
    for _ in range(3):
        list(storage.read("x"))
        with pytest.raises(NotFound):
            list(storage.read("nothing"))
        with pytest.raises(InvalidName):
            list(storage.read("../x"))
    assert open_files() == before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_byte_by_byte(storage: PosixBackend, root: Path, name: str) -> None:
    path = f"{name}/{name}" if len(name) < 200 else name
    storage.put(path, b"x")
    raw = os.fsencode(root) + b"/" + path.encode("utf-8", "surrogateescape")
    assert os.path.isfile(raw)
    assert [entry.path for entry in storage.scan()] == [path]
    assert content(storage, path) == b"x"
    storage.delete(path)
    assert not os.path.exists(raw)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_impossible_names_are_refused_by_every_operation(storage: PosixBackend, root: Path, path: str) -> None:
    copy, move, mkdir = storage.extras.copy, storage.extras.move, storage.extras.mkdir
    assert copy and move and mkdir
    storage.put("x", b"x")
    for attempt in (
        lambda: storage.stat(path),
        lambda: list(storage.read(path)),
        lambda: list(storage.scan(path + "/")),
        lambda: storage.put(path, b""),
        lambda: storage.draft(path, 1, key="k"),
        lambda: storage.delete(path),
        lambda: move("x", path, False),
        lambda: move(path, "y", False),
        lambda: mkdir(path + "/"),
        lambda: copy("x", path, version=None, if_absent=False, key="k", progress=lambda _: None),
        lambda: copy(path, "y", version=None, if_absent=False, key="k", progress=lambda _: None),
    ):
        with pytest.raises(InvalidName):
            attempt()
    assert os.listdir(root) == ["x"]


def test_two_spellings_of_one_name_do_not_both_work(storage: PosixBackend) -> None:
    storage.put("\u00e9", b"x")
    with pytest.raises(InvalidName, match="another spelling"):
        storage.stat("\udcc3\udca9")


@pytest.mark.parametrize("path", [".scigate-key", "run/.scigate-key", ".scigate-x/y"])
def test_the_names_of_drafts_are_not_paths(storage: PosixBackend, root: Path, path: str) -> None:
    (root / "run").mkdir()
    (root / "run" / ".scigate-key").write_bytes(b"draft")
    for attempt in (lambda: storage.stat(path), lambda: list(storage.read(path)), lambda: storage.delete(path)):
        with pytest.raises(InvalidName):
            attempt()
    assert list(storage.scan()) == []
    assert [entry.path for entry in storage.scan("run/", recursive=False)] == []


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
def others(root: Path, tmp_path: Path, storage: PosixBackend) -> Iterator[dict[str, str]]:
    """Things that are no regular files, and the word that must explain them."""
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "inside").write_bytes(b"inside")
    os.symlink("inside", root / "link")
    os.symlink(tmp_path / "secret", root / "absolute")
    os.symlink("../secret", root / "relative")
    os.symlink("/proc/self/root/etc/passwd", root / "magic")
    os.symlink("loop", root / "loop")
    os.mkfifo(root / "fifo")
    words = dict.fromkeys(("link", "absolute", "relative", "magic", "loop"), "symbolic link") | {"fifo": "pipe"}
    here = os.getcwd()
    os.chdir(root)  # the path of a socket is at most 108 bytes long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.chdir(here)
        yield words | {"socket": "socket"}


def test_what_is_no_file_is_listed_with_the_reason_and_never_read(
    storage: PosixBackend, others: dict[str, str]
) -> None:
    notes = {entry.path: entry.note or "" for entry in storage.scan() if entry.kind is Kind.OTHER}
    assert set(notes) == set(others)
    for name, word in others.items():
        assert word in notes[name] and storage.stat(name).kind is Kind.OTHER
        with pytest.raises(NotRegular, match=word):
            list(storage.read(name))
        with pytest.raises(NotRegular, match=word):
            storage.delete(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can create a device")
def test_devices_are_refused(storage: PosixBackend, root: Path) -> None:
    try:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container may not create devices")
    with pytest.raises(NotRegular, match="character device"):
        list(storage.read("null"))


def test_no_operation_passes_through_a_link(storage: PosixBackend, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"secret")
    (root / "real").mkdir()
    os.symlink(tmp_path / "outside", root / "out")
    os.symlink("real", root / "in")
    move, mkdir = storage.extras.move, storage.extras.mkdir
    assert move and mkdir
    storage.put("mine", b"")
    for link in ("out", "in"):
        for attempt in (
            lambda: storage.stat(f"{link}/x"),  # noqa: B023 called at once
            lambda: list(storage.read(f"{link}/x")),  # noqa: B023
            lambda: list(storage.scan(f"{link}/")),  # noqa: B023
            lambda: storage.put(f"{link}/y", b""),  # noqa: B023
            lambda: storage.put(f"{link}/new/y", b""),  # noqa: B023
            lambda: storage.delete(f"{link}/x"),  # noqa: B023
            lambda: move("mine", f"{link}/y", False),  # noqa: B023
            lambda: mkdir(f"{link}/new/"),  # noqa: B023
        ):
            with pytest.raises(NotRegular, match="symbolic link"):
                attempt()
    assert os.listdir(tmp_path / "outside") == ["x"] and os.listdir(root / "real") == []


def test_publishing_over_a_link_replaces_the_link_itself(storage: PosixBackend, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"untouched")
    os.symlink(tmp_path / "outside", root / "x")
    storage.put("x", b"new")
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    assert not (root / "x").is_symlink() and (root / "x").read_bytes() == b"new"


def test_a_folder_swapped_for_a_link_never_leads_out(storage: PosixBackend, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"secret")
    (root / "d").mkdir()
    (root / "d" / "x").write_bytes(b"public")
    os.symlink(tmp_path / "outside", root / "link")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(root / "d", root / "link")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen, written = set(), 0
    try:
        for number in range(1500):
            try:
                seen.add(content(storage, "d/x"))
            except (NotFound, NotRegular) as error:
                seen.add(type(error))
            try:
                storage.put(f"d/{number % 10}", b"w")
                written += 1
            except Permanent:
                continue
    finally:
        stop.set()
        swapper.join()
    assert b"public" in seen and NotRegular in seen and b"secret" not in seen and written
    assert os.listdir(tmp_path / "outside") == ["x"]


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
