"""Cases about stat and read; all of them also run on read-only storages."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from ..backend import Buffer, KiB, Kind, MiB
from ..errors import AccessDenied, InvalidName, NotFound, NotRegular, SourceChanged, StorageError, Truncated
from .case import Bench, Cases, Failed, listable, require, sample, writable

CASES = Cases("read")
case = CASES.case
BIG = 3 * MiB + 17


def computed(algorithm: str, data: bytes) -> str | None:
    """The digest of ``data``; None for the algorithms that the standard library does not have."""
    if algorithm in ("sha-256", "md5", "sha", "sha-512"):
        name = {"sha": "sha1"}.get(algorithm, algorithm.replace("-", ""))
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()
    return f"{zlib.adler32(data):08x}" if algorithm == "adler" else None


@case()
def stat_file(bench: Bench) -> None:
    """stat tells kind, path, size and, when known, the time of a file."""
    entry = bench.backend.stat(path := bench.place("file.bin", sample(1234)))
    require((entry.path, entry.kind, entry.size) == (path, Kind.FILE, 1234), f"stat says {entry}")
    if entry.modified is not None:
        require(entry.modified.tzinfo is not None, "modified has no time zone")
        require(abs(datetime.now(UTC) - entry.modified) < timedelta(days=1), f"modified is {entry.modified}")


@case()
def stat_missing(bench: Bench) -> None:
    """stat of nothing is NotFound, also below a folder that is not there."""
    bench.place("present", b"x")
    for name in ("absent", "no-folder/absent", "present-not"):
        with bench.fails(NotFound):
            bench.backend.stat(bench.path(name))


@case(listable)
def stat_folder(bench: Bench) -> None:
    """A folder is named with a trailing slash, the root is the empty string; both are folders."""
    bench.place("folder/file", b"x")
    for path in (bench.path("folder/"), ""):
        entry = bench.backend.stat(path)
        require((entry.path, entry.kind) == (path, Kind.FOLDER), f"stat({path!r}) says {entry}")


@case()
def stat_file_is_no_folder(bench: Bench) -> None:
    """A file is not found under the name of a folder."""
    path = bench.place("file", b"x")
    with bench.fails(NotFound, NotRegular, InvalidName):
        bench.backend.stat(path + "/")


@case(listable)
def folder_is_no_file(bench: Bench) -> None:
    """Reading a folder is refused."""
    bench.place("folder/file", b"x")
    for path in (bench.path("folder/"), bench.path("folder")):
        with bench.fails(NotFound, NotRegular, InvalidName):
            list(bench.backend.read(path))


@case()
def version_stable(bench: Bench) -> None:
    """The version stays the same while the content does, for every client."""
    path = bench.place("file", sample(1000))
    seen = {backend.stat(path).version for backend in (bench.backend, bench.backend, bench.open_backend())}
    require(len(seen) == 1, f"three looks at one file gave the versions {seen}")


@case()
def version_changes(bench: Bench) -> None:
    """version changes whenever the content does, even at the same size and within the same second."""
    versions = [bench.backend.stat(bench.place("file", sample(1000, seed))).version for seed in range(4)]
    known = [version for version in versions if version is not None]
    require(len(set(known)) == len(known), f"four contents gave the versions {versions}")


@case()
def digests_vouched(bench: Bench) -> None:
    """digests that the storage vouches for are those of the whole object."""
    data = sample(100_000)
    digests = bench.backend.stat(bench.place("file", data)).digests
    for name, value in digests.items():
        real = computed(name, data)
        require(real is None or value == real, f"it vouches for {name} {value}, real is {real}")


@case()
def whole(bench: Bench) -> None:
    """Without a range read gives the whole file, byte for byte."""
    path = bench.place("file", sample(BIG))
    bench.holds(path, sample(BIG))


@case()
def ranges(bench: Bench) -> None:
    """Exactly ``length`` bytes from ``offset``."""
    path, data = bench.place("file", sample(BIG)), sample(BIG)
    for offset, length in ((0, 1), (1, 1), (0, BIG), (BIG - 1, 1), (64 * KiB - 1, 2), (MiB - 3, MiB + 9), (7, BIG - 7)):
        got = b"".join(map(bytes, bench.backend.read(path, offset, length)))
        require(got == data[offset : offset + length], f"read({offset}, {length}) gave {len(got)} other bytes")


@case()
def to_the_end(bench: Bench) -> None:
    """Without a length read goes to the end."""
    path, data = bench.place("file", sample(BIG)), sample(BIG)
    for offset in (0, 1, BIG // 2, BIG - 1, BIG):
        got = b"".join(map(bytes, bench.backend.read(path, offset)))
        require(got == data[offset:], f"read({offset}) gave {len(got)} bytes, {BIG - offset} are there")


@case()
def zero_length(bench: Bench) -> None:
    """A range of zero bytes is no bytes, anywhere in the file and at its end."""
    path = bench.place("file", sample(1000))
    for offset in (0, 500, 1000):
        require(list(bench.backend.read(path, offset, 0)) == [], f"read({offset}, 0) gave something")


@case()
def empty_file(bench: Bench) -> None:
    """A file of zero bytes is a file."""
    path = bench.place("empty", b"")
    bench.holds(path, b"")
    require(list(bench.backend.read(path, 0, 0)) == [], "an empty range of an empty file gave something")


@case()
def beyond_the_end(bench: Bench) -> None:
    """A range beyond the end is Truncated, never less."""
    path = bench.place("file", sample(1000))
    for offset, length in ((0, 1001), (999, 2), (1000, 1), (5000, 1), (5000, None), (0, 1 << 40)):
        with bench.fails(Truncated):
            list(bench.backend.read(path, offset, length))


@case()
def missing(bench: Bench) -> None:
    """Reading nothing is NotFound."""
    for name in ("absent", "no-folder/absent"):
        with bench.fails(NotFound):
            list(bench.backend.read(bench.path(name)))
        with bench.fails(NotFound):
            list(bench.backend.read(bench.path(name), 5, 10))


@case()
def current_version(bench: Bench) -> None:
    """With the current version given, read reads."""
    path = bench.place("file", sample(5000))
    version = bench.backend.stat(path).version
    for offset, length in ((0, None), (10, 100), (0, 0)):
        got = b"".join(map(bytes, bench.backend.read(path, offset, length, version=version)))
        require(got == sample(5000)[offset:][:length], f"read({offset}, {length}) of the current version is wrong")


@case()
def stale_version(bench: Bench) -> None:
    """With another version than the current one: SourceChanged, before the first buffer."""
    path = bench.place("file", sample(5000))
    version = bench.backend.stat(path).version
    bench.place("file", sample(5000, 1))
    if version is None or version == bench.backend.stat(path).version:
        return  # a storage that cannot tell versions apart cannot refuse one; version_changes looks at that
    for offset, length in ((0, None), (10, 100)):
        with bench.fails(SourceChanged):
            next(iter(bench.backend.read(path, offset, length, version=version)))


@case()
def replaced_while_reading(bench: Bench) -> None:
    """A file that is replaced while it is read ends as the old one or as an error, never as a mix."""
    path = bench.place("file", sample(BIG))
    require_no_mix(bench, path, lambda: bench.place("file", sample(BIG, 1)))


@case(writable)
def deleted_while_reading(bench: Bench) -> None:
    """A file that is deleted while it is read ends whole or as an error."""
    path = bench.place("file", sample(BIG))
    require_no_mix(bench, path, lambda: bench.backend.delete(path))


def require_no_mix(bench: Bench, path: str, disturb: Callable[[], object]) -> None:
    """Begin to read, ``disturb``, read on: the first content whole, or an error."""
    version = bench.backend.stat(path).version
    buffers = bench.backend.read(path, version=version)
    got = bytearray(next(buffers))
    disturb()
    try:
        for buffer in buffers:
            got += buffer
    except StorageError as error:
        bench.inspect(error)
    else:
        require(bytes(got) == sample(BIG), "it ended without an error and is not what was there at the beginning")


@case()
def closed_early(bench: Bench) -> None:
    """Closing the iterator early frees the connection: more of them than the storage likes at once still go on."""
    path = bench.place("file", sample(BIG))
    for _ in range(3 * bench.backend.limits.concurrency):
        buffers = bench.backend.read(path)
        require(len(next(buffers)) > 0, "an empty buffer")
        close(buffers)
    bench.holds(path, sample(BIG))


def close(buffers: Iterator[Buffer]) -> None:
    """Close an iterator of buffers as its users do."""
    closing = getattr(buffers, "close", None)
    if closing is None:
        raise Failed("read gives an iterator without close()")
    closing()


@case()
def many_at_once(bench: Bench) -> None:
    """One file can be read by many threads at once."""
    path, data = bench.place("file", sample(BIG)), sample(BIG)

    def part(number: int) -> bool:
        offset = number * 100_000
        return b"".join(map(bytes, bench.backend.read(path, offset, 300_000))) == data[offset : offset + 300_000]

    with ThreadPoolExecutor(8) as threads:
        require(all(threads.map(part, range(24))), "threads that read at once got wrong bytes")


@case()
def interleaved(bench: Bench) -> None:
    """Two reads that take turns do not disturb each other."""
    path, data = bench.place("file", sample(BIG)), sample(BIG)
    got = (bytearray(), bytearray())
    running = [bench.backend.read(path, 0, BIG), bench.backend.read(path, 1000, BIG - 1000)]
    for _ in range(200):
        for index, buffers in enumerate(running):
            got[index].extend(next(buffers, b""))
    for buffers in running:
        close(buffers)
    require(data.startswith(got[0]) and data[1000:].startswith(got[1]), "the bytes of two reads got mixed up")


@case()
def buffers_sized(bench: Bench) -> None:
    """A buffer has more than zero and at most 8 MiB bytes."""
    sizes = [len(buffer) for buffer in bench.backend.read(bench.place("file", sample(BIG)))]
    require(all(0 < size <= 8 * MiB for size in sizes), f"buffers of {min(sizes)} to {max(sizes)} bytes")
    require(sum(sizes) == BIG, f"the buffers have {sum(sizes)} bytes together")


@case()
def outside_the_root(bench: Bench) -> None:
    """A path that leads out of the root is refused."""
    for path in ("../../../../../../etc/passwd", bench.path("../../../../../../../etc/passwd"), ".."):
        with bench.fails(InvalidName, NotFound, AccessDenied, NotRegular):
            bench.backend.stat(path)
        with bench.fails(InvalidName, NotFound, AccessDenied, NotRegular):
            list(bench.backend.read(path))
