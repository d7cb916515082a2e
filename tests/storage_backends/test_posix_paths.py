"""Paths of the POSIX storage: kept byte by byte or refused, and never a way out of the root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.storage_backends.backend import Kind
from scigate.storage_backends.errors import (
    InvalidName,
    NotFound,
    NotRegular,
    Permanent,
)
from scigate.storage_backends.posix import PosixBackend, PosixOptions
from scigate.storage_backends.posix_calls import libc, open_beneath, open_stepwise

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
    seen, written, number = set(), 0, 0
    end = time.monotonic() + 120
    try:
        # A swapper that the machine lets wait has swapped nothing yet.
        while number < 1500 or (not (written and {b"public", NotRegular} <= seen) and time.monotonic() < end):
            number += 1
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


def test_a_root_that_this_user_may_not_enter_is_no_folder_to_make(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o000)
    code = (
        "import sys; from scigate.storage_backends.posix import PosixBackend, PosixOptions\n"
        "try: PosixBackend(PosixOptions(root=sys.argv[1])).stat('x')\n"
        "except Exception as error: print(error, error.next_step)"
    )
    # Root may enter every folder, unless that is taken away.
    humble = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*humble, sys.executable, "-c", code, str(tmp_path / "private")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Permission denied" in said
    assert f"Let the user who runs the gateway into '{tmp_path / 'private'}'" in said
    assert "Make or mount" not in said
