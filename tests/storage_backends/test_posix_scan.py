"""Listing a POSIX storage: everything once, in byte order, resumable, lazily and in bounded memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from scigate.storage_backends.backend import Kind
from scigate.storage_backends.errors import InvalidName, NotFound
from scigate.storage_backends.posix import PosixBackend, PosixOptions

TREE = [
    "a",
    "a-",
    "a-/x",
    "a/b/c",
    "a/b/c-d",
    "a/b/c.d/e",
    "a/b0",
    "a0",
    "b/c",
    "z/z/z/z",
    "\u00e4/\udcff",
    "line\nbreak/x",
]


@pytest.fixture
def storage(tmp_path: Path) -> PosixBackend:
    return PosixBackend(PosixOptions(root=str(tmp_path)))


@pytest.fixture
def tree(storage: PosixBackend) -> list[str]:
    """The files of a tree, in the order in which they are listed."""
    files = [path for path in TREE if not any(other.startswith(path + "/") for other in TREE)]
    for path in random.Random(1).sample(files, len(files)):
        storage.put(path, b"x")
    return sorted(files, key=raw)


def raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def names(storage: PosixBackend, prefix: str = "", after: str | None = None, *, recursive: bool = True) -> list[str]:
    return [entry.path for entry in storage.scan(prefix, after=after, recursive=recursive)]


def test_all_files_in_the_byte_order_of_their_paths(storage: PosixBackend, tree: list[str]) -> None:
    assert names(storage) == tree
    assert all(entry == storage.stat(entry.path) for entry in storage.scan())


@pytest.mark.parametrize("recursive", [True, False])
def test_resumed_behind_any_path_nothing_is_lost_or_repeated(
    storage: PosixBackend, tree: list[str], recursive: bool
) -> None:
    whole = names(storage, recursive=recursive)
    for position, path in enumerate(whole):
        assert names(storage, after=path, recursive=recursive) == whole[position + 1 :]


def test_resumed_behind_a_path_that_was_deleted(storage: PosixBackend, tree: list[str]) -> None:
    for path in tree[:-1]:
        storage.delete(path)
        assert names(storage, after=path) == tree[tree.index(path) + 1 :]


def test_a_folder_is_listed_alone(storage: PosixBackend, tree: list[str]) -> None:
    assert names(storage, "a/") == ["a/b/c", "a/b/c-d", "a/b/c.d/e", "a/b0"]
    assert names(storage, "a/b/", "a/b/c-d") == ["a/b/c.d/e"]
    children = list(storage.scan("a/", recursive=False))
    assert [(entry.path, entry.kind) for entry in children] == [("a/b/", Kind.FOLDER), ("a/b0", Kind.FILE)]


def test_wrong_prefixes(storage: PosixBackend, tree: list[str]) -> None:
    for prefix in ("no/", "a/b0/", "a/no/"):
        with pytest.raises(NotFound):
            names(storage, prefix)
    for prefix, after in (("a", None), ("a/", "b/c"), ("a//", None), ("../", None)):
        with pytest.raises(InvalidName):
            names(storage, prefix, after)


def test_empty_folders_are_no_files(storage: PosixBackend, tmp_path: Path) -> None:
    (tmp_path / "e/e").mkdir(parents=True)
    assert names(storage) == [] and names(storage, "e/", recursive=False) == ["e/e/"]


def test_what_vanishes_while_listing_is_left_out(storage: PosixBackend, tree: list[str]) -> None:
    listing = storage.scan()
    assert next(listing).path == tree[0]
    for path in tree[1:-1]:
        storage.delete(path)
    assert [entry.path for entry in listing] == tree[-1:]


def test_a_folder_that_may_not_be_listed_is_said_to_be_so(storage: PosixBackend, tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(17):  # longer than any path that can be opened
        deep = deep / ("d" * 250)
        parent = os.open(deep.parent, os.O_PATH) if len(str(deep)) < 4000 else parent  # noqa: F821
        os.mkdir("d" * 250, dir_fd=parent)
        parent = os.open("d" * 250, os.O_PATH, dir_fd=parent)
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=parent))
    (tmp_path / "e").write_bytes(b"")
    *_, refused, last = storage.scan()
    assert (refused.kind, last.path) == (Kind.OTHER, "e") and "cannot be listed" in (refused.note or "")
    assert names(storage, after=refused.path) == ["e"]


LARGE = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many files; in memory, because only their names count."""
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    folder = tmp_path_factory.mktemp("large") if base is None else base / f"scigate-scan-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    parent = os.open(folder, os.O_PATH)
    for number in range(LARGE):
        os.close(os.open(f"{number:07x}-event.root", os.O_CREAT | os.O_WRONLY, dir_fd=parent))
    os.close(parent)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_the_first_page_of_a_large_folder_comes_without_looking_at_every_file(large: Path) -> None:
    storage = PosixBackend(PosixOptions(root=str(large)))
    times = []
    for _ in range(3):
        start = time.thread_time()
        page = list(islice(storage.scan(), 1000))
        times.append(time.thread_time() - start)
    assert [entry.path for entry in page] == [f"{number:07x}-event.root" for number in range(1000)]
    start = time.thread_time()
    assert sum(1 for _ in storage.scan()) == LARGE
    assert min(times) < (time.thread_time() - start) / 3, "of what it costs to look at all of them"


def test_a_large_folder_is_listed_in_little_memory(large: Path) -> None:
    script = """
import resource, sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
storage = PosixBackend(PosixOptions(root=sys.argv[1]))
storage.stat("")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in storage.scan())
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script, large], capture_output=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == LARGE
    assert grown * 1024 / count < 150, "bytes per name: a million names must stay below 150 MB"
