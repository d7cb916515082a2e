"""Cases about what a storage claims to do beyond the contract, and about manners."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from ..backend import CopiedAndRead, Copy, CopyAndRead, Entry, Extras, KiB, Kind, MiB
from ..digests import digest as digested
from ..errors import AlreadyExists, NotFound, SourceChanged, StorageError, Unsupported
from .case import Bench, Case, Cases, claims, new_key, require, sample, writable
from .reading import computed

CASES = Cases("extra")
BIG = 2 * MiB + 11


copying = Cases("copy", claims("copy"))


def copy(
    bench: Bench,
    source: str,
    destination: str,
    *,
    version: str | None = None,
    if_absent: bool = False,
    key: str = "",
    progress: Callable[[int], None] = lambda count: None,
) -> Entry:
    run: Copy | None = bench.backend.extras.copy
    if run is None:
        raise Unsupported("copy is not claimed")
    key = key or new_key()
    bench.begun.append((destination, key, None))
    return run(source, destination, version=version, if_absent=if_absent, key=key, progress=progress)


@copying.case()
def copied(bench: Bench) -> None:
    """copy makes a second file of the same bytes and leaves the first; progress adds up to its size."""
    for size in (0, 1000, BIG):
        source, path, steps = bench.place("source", sample(size)), bench.path(f"to/{size}"), list[int]()
        entry = copy(bench, source, path, progress=steps.append)
        require((entry.path, entry.kind, entry.size) == (path, Kind.FILE, size), f"copy says {entry}")
        require(sum(steps) == size, f"progress adds up to {sum(steps)} of {size}")
        bench.holds(path, sample(size))
        bench.holds(source, sample(size))


@copying.case()
def copied_apart(bench: Bench) -> None:
    """A copy is a file of its own: changing one does not change the other."""
    source, path = bench.place("source", sample(BIG)), bench.path("copy")
    copy(bench, source, path)
    bench.backend.put(source, b"changed")
    bench.holds(path, sample(BIG))
    bench.backend.delete(source)
    bench.holds(path, sample(BIG))


@copying.case()
def copied_over(bench: Bench) -> None:
    """copy replaces what is there; with ``if_absent`` it is AlreadyExists and nothing is changed."""
    source, path = bench.place("source", sample(BIG)), bench.place("there", b"old")
    with bench.fails(AlreadyExists):
        copy(bench, source, path, if_absent=True)
    bench.holds(path, b"old")
    copy(bench, source, path)
    bench.holds(path, sample(BIG))


@copying.case()
def copied_version(bench: Bench) -> None:
    """copy of another version than the current one is SourceChanged, and nothing is there."""
    source = bench.place("source", sample(1000))
    version = bench.backend.stat(source).version
    copy(bench, source, bench.path("current"), version=version)
    bench.place("source", sample(1000, 1))
    with bench.fails(SourceChanged):
        copy(bench, source, bench.path("stale"), version=version)
    bench.absent(bench.path("stale"))


@copying.case()
def copied_missing(bench: Bench) -> None:
    """copy of nothing is NotFound."""
    with bench.fails(NotFound):
        copy(bench, bench.path("absent"), bench.path("copy"))
    bench.absent(bench.path("copy"))


@copying.case()
def copied_identity(bench: Bench) -> None:
    """A copy has the key as its identity where the storage can tell, and never that of its source."""
    source, key = bench.path("source"), new_key()
    bench.backend.put(source, b"x", key=(first := new_key()))
    copy(bench, source, bench.path("copy"), key=key)
    identity = bench.backend.stat(bench.path("copy")).identity
    require(identity != first, "the copy has the identity of its source")


@copying.case()
def copy_stopped(bench: Bench) -> None:
    """Raising in progress stops the copy: the error goes through, and no part of a file is left."""
    source, path = bench.place("source", sample(BIG)), bench.place("there", b"old")

    def stop(count: int) -> None:
        raise StorageError("stopped by the caller")

    with bench.fails(StorageError):
        copy(bench, source, path, progress=stop)
    if bench.content(path) != b"old":
        bench.holds(path, sample(BIG))
    require(sorted(bench.names()) in ([], sorted([source, path])), f"it left {bench.names()}")


both = Cases("copy", claims("copy_and_read"))


def copy_and_read(
    bench: Bench, source: str, destination: str, *, version: str | None = None, if_absent: bool = False, key: str = ""
) -> CopiedAndRead:
    run: CopyAndRead | None = bench.backend.extras.copy_and_read
    if run is None:
        raise Unsupported("copy_and_read is not claimed")
    key = key or new_key()
    bench.begun.append((destination, key, None))
    return run(source, destination, version=version, if_absent=if_absent, key=key)


@both.case()
def read_as_well(bench: Bench) -> None:
    """copy_and_read makes a second file of the same bytes, leaves the first, and gives the CRC-64/NVME of both."""
    for size in (0, 1000, 256 * KiB):
        source, path = bench.place("source", sample(size)), bench.path(f"to/{size}")
        made = copy_and_read(bench, source, path)
        require((made.entry.path, made.entry.kind, made.entry.size) == (path, Kind.FILE, size), f"it says {made}")
        expected = digested("crc64nvme", [sample(size)])
        require(made.source == made.copy == expected, f"the digests are {made.source} and {made.copy}, not {expected}")
        bench.holds(path, sample(size))
        bench.holds(source, sample(size))


@both.case()
def read_as_well_over(bench: Bench) -> None:
    """copy_and_read replaces what is there; with ``if_absent`` it is AlreadyExists and nothing is changed."""
    source, path = bench.place("source", sample(1000)), bench.place("there", b"old")
    with bench.fails(AlreadyExists):
        copy_and_read(bench, source, path, if_absent=True)
    bench.holds(path, b"old")
    copy_and_read(bench, source, path)
    bench.holds(path, sample(1000))
    copy_and_read(bench, source, bench.path("new"), if_absent=True)
    bench.holds(bench.path("new"), sample(1000))


@both.case()
def read_as_well_version(bench: Bench) -> None:
    """copy_and_read of another version than the current one is SourceChanged, of nothing NotFound; and nothing is
    there."""
    source = bench.place("source", sample(1000))
    version = bench.backend.stat(source).version
    copy_and_read(bench, source, bench.path("current"), version=version)
    bench.place("source", sample(1000, 1))
    with bench.fails(SourceChanged):
        copy_and_read(bench, source, bench.path("stale"), version=version)
    bench.absent(bench.path("stale"))
    with bench.fails(NotFound):
        copy_and_read(bench, bench.path("absent"), bench.path("copy"))
    bench.absent(bench.path("copy"))


@both.case()
def read_as_well_identity(bench: Bench) -> None:
    """Made by copy_and_read, a copy has the key as its identity where the storage can tell."""
    source, key = bench.path("source"), new_key()
    bench.backend.put(source, b"x", key=(first := new_key()))
    made = copy_and_read(bench, source, bench.path("copy"), key=key).entry.identity
    identity = bench.backend.stat(bench.path("copy")).identity
    require(identity != first, "the copy has the identity of its source")
    require(made == identity, f"it says {made}, and stat {identity}")


digesting = Cases("digest", claims("digest"))


@digesting.case()
def digest_right(bench: Bench) -> None:
    """digest gives what the storage computes from what it stores, or Unsupported; for one algorithm at least."""
    path, known = bench.place("file", sample(BIG)), list[str]()
    for name in ("sha-256", "md5", "adler", "crc32c", "crc64nvme", "blake3", "sha", "sha-512"):
        value = digest(bench, path, name)
        if value is not None:
            known.append(name)
            require(value == value.lower(), f"{name} is not in lower case")
            require(computed(name, sample(BIG)) in (None, value), f"{name} is {value}")
    require(known, "it claims digest and knows no algorithm")


def digest(bench: Bench, path: str, algorithm: str) -> str | None:
    """What the storage computes; None where it says that it cannot."""
    try:
        return bench.backend.extras.digest(path, algorithm) if bench.backend.extras.digest else None
    except Unsupported:
        return None


@digesting.case()
def digest_refused(bench: Bench) -> None:
    """An unknown algorithm is Unsupported, a missing file NotFound."""
    path, run = bench.place("file", b"x"), bench.backend.extras.digest
    if run:
        with bench.fails(Unsupported):
            run(path, "unheard-of")
        with bench.fails(NotFound):
            run(bench.path("absent"), "sha-256")


moving = Cases("move", claims("move"))


def move(bench: Bench, source: str, destination: str, if_absent: bool = False) -> Entry:
    run = bench.backend.extras.move
    if run is None:
        raise Unsupported("move is not claimed")
    return run(source, destination, if_absent)


@moving.case()
def moved(bench: Bench) -> None:
    """move gives a file another name, in another folder too."""
    source, path = bench.place("source", sample(1000)), bench.path("new/folder/there")
    entry = move(bench, source, path)
    require((entry.path, entry.size) == (path, 1000), f"move says {entry}")
    bench.absent(source)
    bench.holds(path, sample(1000))


@moving.case()
def moved_over(bench: Bench) -> None:
    """move replaces what is there; with if_absent it is AlreadyExists and nothing is changed."""
    source, path = bench.place("source", b"new"), bench.place("there", b"old")
    with bench.fails(AlreadyExists):
        move(bench, source, path, True)
    bench.holds(source, b"new")
    bench.holds(path, b"old")
    move(bench, source, path)
    bench.holds(path, b"new")
    bench.absent(source)


@moving.case()
def moved_missing(bench: Bench) -> None:
    """move of nothing is NotFound, and what is at the destination stays."""
    path = bench.place("there", b"old")
    with bench.fails(NotFound):
        move(bench, bench.path("absent"), path)
    bench.holds(path, b"old")


folders = Cases("mkdir", claims("mkdir"))


@folders.case()
def made(bench: Bench) -> None:
    """mkdir makes a folder and its parents, listed and empty; there already is fine."""
    run = bench.backend.extras.mkdir
    for _ in range(2):
        if run:
            run(bench.path("one/two/"))
    require(bench.backend.stat(bench.path("one/two/")).kind is Kind.FOLDER, "stat does not say folder")
    require(bench.names(bench.path("one/"), recursive=False) == [bench.path("one/two/")], "it is not listed")
    require(list(bench.backend.scan(bench.path("one/two/"))) == [], "it is not empty")
    bench.place("one/two/file", b"x")
    if run:
        run(bench.path("one/two/"))
    bench.holds(bench.path("one/two/file"), b"x")


@folders.case()
def made_over_a_file(bench: Bench) -> None:
    """mkdir where a file is: refused; below one: refused, or both. The file stays."""
    path, run = bench.place("file", b"x"), bench.backend.extras.mkdir
    if run:
        with bench.fails(StorageError):
            run(path + "/")
        bench.refused(partial(run, path + "/below/"))
    bench.holds(path, b"x")


@CASES.case(claims("presign"))
def presigned(bench: Bench) -> None:
    """presign gives a URL that reads this file without a credential."""
    path, run = bench.place("file ü+%41", sample(5000)), bench.backend.extras.presign
    if run:
        url = run(path, timedelta(minutes=5))
        with urllib.request.urlopen(url, timeout=120) as answer:
            require(answer.read() == sample(5000), "the URL gives other bytes")
        require(not any(secret in url for secret in bench.secrets), "the URL shows a secret")


@CASES.case(claims("free"))
def free(bench: Bench) -> None:
    """free is a number of bytes."""
    run = bench.backend.extras.free
    require(run is None or run() >= 0, "less than nothing is free")


@CASES.case(claims("total"))
def total(bench: Bench) -> None:
    """total is a number of bytes, and not less than what is free."""
    run, free = bench.backend.extras.total, bench.backend.extras.free
    require(run is None or free is None or run() >= free() >= 0, "more is free than it holds in all")


@CASES.case(claims("sync"))
def synced(bench: Bench) -> None:
    """sync can be asked for at any time."""
    bench.place("file", b"x")
    if bench.backend.extras.sync:
        bench.backend.extras.sync()
    bench.holds(bench.path("file"), b"x")


MANNERS = Cases("manners")


@MANNERS.case()
def limits_possible(bench: Bench) -> None:
    """The limits can be kept: block_min ≤ block_preferred ≤ block_max, and at least one request at once."""
    limits = bench.backend.limits
    require(1 <= limits.block_min <= limits.block_preferred <= limits.block_max, f"blocks: {limits}")
    require(limits.concurrency >= 1, "no request at once")
    require(limits.largest is None or limits.put_max <= limits.largest, f"put_max: {limits}")
    require(isinstance(bench.backend.extras, Extras), "extras are not Extras")


@MANNERS.case(writable)
def threads(bench: Bench) -> None:
    """All methods may be called from many threads at once."""

    def work(number: int) -> None:
        path = bench.path(f"{number % 3}/file-{number}")
        for seed in range(5):
            data = sample(20_000 + seed, number)
            bench.backend.put(path, data)
            bench.holds(path, data)
        require(path in [path, *bench.names()], "a scan among writers failed")
        bench.publish(bench.draft(path, bench.unit), sample(bench.unit, number))
        bench.holds(path, sample(bench.unit, number))
        bench.backend.delete(path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    require(bench.names() == [], f"left: {bench.names()}")


@MANNERS.case()
def errors_say_what(bench: Bench) -> None:
    """Every failure is a StorageError that names the path concerned."""
    path = bench.path("absent")
    for action in (bench.backend.stat, bench.content):
        try:
            action(path)
        except NotFound as error:
            bench.inspect(error)
            require(path in (error.path, error.message) or path in error.message, f"{error!r} names no path")
        else:
            require(False, "nothing was raised")


def all_of_them() -> tuple[Case, ...]:
    """The cases of this file, in order."""
    return (*copying, *both, *digesting, *moving, *folders, *CASES, *MANNERS)
