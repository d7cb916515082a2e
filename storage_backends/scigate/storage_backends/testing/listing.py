"""Cases about scan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..backend import Kind
from ..errors import InvalidName, NotFound, NotRegular
from .case import Bench, Cases, Failed, listable, require, sample, writable_and_listable

CASES = Cases("scan", listable)
case = CASES.case
TREE = ("a", "a-b", "a.txt", "ab/1", "ab/2/3/deep", "ab/2/x", "b/1", "b/1.txt", "b/10", "b/2", "z")
CHILDREN = ("a", "a-b", "a.txt", "ab/", "b/", "z")


def plant(bench: Bench) -> None:
    for name in TREE:
        bench.place(name, name.encode())


def nothing_below(bench: Bench, folder: str) -> None:
    found = list(bench.backend.scan(folder))
    require(found == [], f"scan of {folder!r} gave {found}")


@case()
def recursive(bench: Bench) -> None:
    """Recursive: every file at any depth, once, with its size, and no folders."""
    plant(bench)
    found = [(entry.path, entry.kind, entry.size) for entry in bench.backend.scan(bench.folder)]
    wanted = [(bench.path(name), Kind.FILE, len(name)) for name in sorted(TREE)]
    require(sorted(found) == wanted, f"scan gave {found}")


@case()
def flat(bench: Bench) -> None:
    """Not recursive: the direct children, each once, folders with a trailing slash."""
    plant(bench)
    found = sorted((entry.path, entry.kind) for entry in bench.backend.scan(bench.folder, recursive=False))
    kinds = {name: Kind.FOLDER if name.endswith("/") else Kind.FILE for name in CHILDREN}
    require(found == [(bench.path(name), kinds[name]) for name in CHILDREN], f"scan gave {found}")


@case()
def sibling_prefix(bench: Bench) -> None:
    """Only what is below the folder: ``a/`` is not ``a``, ``ab/`` or ``a.txt``."""
    for name in ("a/1", "ab/1", "a.txt", "a-/1", "b"):
        bench.place(name, b"x")
    for recursive in (True, False):
        found = bench.names(bench.path("a/"), recursive=recursive)
        require(found == [bench.path("a/1")], f"scan of a/ gave {found}")


@case()
def agrees_with_stat(bench: Bench) -> None:
    """What scan says of a file, stat says too."""
    plant(bench)
    for seen in bench.backend.scan(bench.folder):
        entry = bench.backend.stat(seen.path)
        require((seen.size, seen.kind) == (entry.size, entry.kind), f"scan says {seen}, stat says {entry}")
        require(seen.version in (None, entry.version), f"scan says version {seen.version}, stat {entry.version}")


@case()
def stable_order(bench: Bench) -> None:
    """The order is stable, for every client."""
    plant(bench)
    for recursive in (True, False):
        orders = {
            tuple(entry.path for entry in backend.scan(bench.folder, recursive=recursive))
            for backend in (bench.backend, bench.backend, bench.open_backend())
        }
        require(len(orders) == 1, f"three scans gave {len(orders)} orders")


@case()
def resumed(bench: Bench) -> None:
    """``after`` is a path seen before, and the scan goes on behind it."""
    plant(bench)
    for recursive in (True, False):
        full = bench.names(recursive=recursive)
        for index, after in enumerate(full):
            rest = bench.names(recursive=recursive, after=after)
            require(rest == full[index + 1 :], f"after {after!r} scan gave {rest}, not {full[index + 1 :]}")


@case(writable_and_listable)
def resumed_after_deleted(bench: Bench) -> None:
    """The scan goes on behind a path seen before, even when that file is gone."""
    plant(bench)
    full = bench.names()
    for after in (full[2], full[5]):
        bench.backend.delete(after)
        rest = bench.names(after=after)
        require(rest == full[full.index(after) + 1 :], f"after the deleted {after!r} scan gave {rest}")


@case()
def missing_folder(bench: Bench) -> None:
    """A missing folder is NotFound where the storage has folders, and else empty."""
    bench.place("present/file", b"x")
    for path in (bench.path("absent/"), bench.path("present/absent/")):
        has_folders = bench.backend.extras.mkdir is not None
        missed = bench.refused(partial(nothing_below, bench, path), NotFound)
        require(missed or not has_folders, "it has folders, and one that is missing is not NotFound")


@case()
def of_a_file(bench: Bench) -> None:
    """A file has nothing below it."""
    path = bench.place("file", b"x") + "/"
    bench.refused(partial(nothing_below, bench, path), NotFound, NotRegular, InvalidName)


@case()
def closed_early(bench: Bench) -> None:
    """A scan streams and can be left at any time."""
    plant(bench)
    for _ in range(3 * bench.backend.limits.concurrency):
        entries = bench.backend.scan(bench.folder)
        require(next(entries, None) is not None, "scan gave nothing")
        if not hasattr(entries, "close"):
            raise Failed("scan gives an iterator without close()")
        entries.close()
    require(len(bench.names()) == len(TREE), "scan is not whole after others were left")


@case(writable_and_listable)
def many(bench: Bench) -> None:
    """Folders of any size: every file once, over all pages, also when resumed in the middle of one."""
    names = [f"{number % 7}/{number:05d}" for number in range(bench.many)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: bench.backend.put(bench.path(name), b"1"), names))
    full = bench.names()
    require(len(full) == bench.many, f"{bench.many} files, scan gave {len(full)}")
    require(sorted(full) == sorted(map(bench.path, names)), "scan gave one twice and missed another")
    for index in (0, bench.many // 2, max(bench.many - 2, 0)):
        require(bench.names(after=full[index]) == full[index + 1 :], f"resumed behind {full[index]!r} it differs")
    folders, seen = min(7, bench.many), len(bench.names(recursive=False))
    require(seen == folders, f"there are {folders} folders, a flat scan gave {seen}")


@case(writable_and_listable)
def drafts_hidden(bench: Bench) -> None:
    """Drafts are not listed, neither while they are written nor when they are forgotten."""
    bench.place("folder/file", b"x")
    data = sample(bench.unit + 100)
    drafts = [bench.draft(bench.path(f"folder/{name}"), len(data)) for name in ("new", "file")]
    for draft in drafts:
        bench.write(draft, data)
    for folder in (bench.folder, bench.path("folder/")):
        require(bench.names(folder) == [bench.path("folder/file")], f"scan lists {bench.names(folder)}")
    require(bench.names(recursive=False) == [bench.path("folder/")], "a flat scan lists a draft")
    require(bench.names(bench.path("folder/"), recursive=False) == [bench.path("folder/file")], "it lists a draft")


@case(writable_and_listable)
def deleted_gone(bench: Bench) -> None:
    """A deleted file is no longer listed."""
    plant(bench)
    bench.backend.delete(bench.path("b/1"))
    require(bench.path("b/1") not in bench.names(), "it is still listed")
    require(len(bench.names()) == len(TREE) - 1, "others are gone too")
