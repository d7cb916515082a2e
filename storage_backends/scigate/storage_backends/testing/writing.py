"""Cases about put and delete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event

from ..backend import Buffer, KiB, Kind
from ..errors import (
    AccessDenied,
    AlreadyExists,
    DigestMismatch,
    InvalidName,
    NotFound,
    NotRegular,
    Permanent,
    SourceChanged,
    Unsupported,
)
from .case import Bench, Cases, atomic, claims, new_key, putting, read_only, require, sample, writable

CASES = Cases("put", writable)
case = CASES.case
DELETING = Cases("delete", writable)
DATA, OTHER = sample(50_000), sample(50_000, 1)
NO_FILE = (InvalidName, NotRegular, AlreadyExists, NotFound, AccessDenied)


@case()
def stored(bench: Bench) -> None:
    """put stores the bytes and says what is there now."""
    path = bench.path("file")
    entry = bench.backend.put(path, DATA)
    require((entry.path, entry.kind, entry.size) == (path, Kind.FILE, len(DATA)), f"put says {entry}")
    require(entry.version in (None, bench.backend.stat(path).version), "put and stat say different versions")
    bench.holds(path, DATA)


@case()
def seen_by_others(bench: Bench) -> None:
    """What is stored, replaced or deleted is so for every client at once."""
    path, other = bench.path("file"), bench.open_backend()
    bench.backend.put(path, DATA)
    bench.holds(path, DATA, other)
    other.put(path, OTHER)
    bench.holds(path, OTHER)
    bench.backend.delete(path)
    with bench.fails(NotFound):
        other.stat(path)


@case()
def replaced(bench: Bench) -> None:
    """put replaces what is there, with shorter and longer data."""
    path = bench.path("file")
    for data in (DATA, DATA[:10], OTHER, b"", DATA):
        bench.backend.put(path, data)
        bench.holds(path, data)


@case()
def empty(bench: Bench) -> None:
    """An object of zero bytes is stored like any other."""
    entry = bench.backend.put(bench.path("empty"), b"")
    require(entry.size == 0, f"put says {entry.size} bytes")
    bench.holds(bench.path("empty"), b"")


@case()
def largest(bench: Bench) -> None:
    """Up to limits.put_max put is the right way."""
    data = sample(min(bench.backend.limits.put_max, bench.backend.limits.largest or 1 << 62))
    bench.backend.put(bench.path("file"), data)
    bench.holds(bench.path("file"), data)


@case()
def any_buffer(bench: Bench) -> None:
    """Data is bytes, bytearray or memoryview, and is the caller's again when put returns."""
    kinds: tuple[Callable[[bytes], Buffer], ...] = (bytes, bytearray, memoryview)
    for kind in kinds:
        bench.backend.put(bench.path("file"), kind(DATA))
        bench.holds(bench.path("file"), DATA)
    mine = bytearray(DATA)
    bench.backend.put(bench.path("file"), mine)
    mine[:] = bytes(len(mine))
    bench.holds(bench.path("file"), DATA)


@case()
def if_absent(bench: Bench) -> None:
    """``if_absent`` stores when nothing is there; else it is AlreadyExists and nothing is changed."""
    path = bench.path("file")
    bench.backend.put(path, DATA, if_absent=True)
    before = bench.backend.stat(path).version
    for data in (OTHER, DATA, b""):
        with bench.fails(AlreadyExists):
            bench.backend.put(path, data, if_absent=True)
    bench.holds(path, DATA)
    require(bench.backend.stat(path).version == before, "the refused put changed the version")


@case(atomic)
def if_absent_raced(bench: Bench) -> None:
    """Of many that put with ``if_absent`` at once exactly one wins."""
    path = bench.path("file")

    def win(number: int) -> bool:
        return not bench.refused(lambda: bench.backend.put(path, bytes([number]) * 1000, if_absent=True), AlreadyExists)

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number, won in enumerate(threads.map(win, range(8))) if won]
    require(len(winners) == 1, f"{len(winners)} of 8 won")
    bench.holds(path, bytes([winners[0]]) * 1000)


@case()
def right_digests(bench: Bench) -> None:
    """Right digests are accepted, and those of an algorithm that the storage does not know."""
    right = {
        "sha-256": hashlib.sha256(DATA).hexdigest(),
        "md5": hashlib.md5(DATA, usedforsecurity=False).hexdigest(),
        "unheard-of": "00",
    }
    for name, value in right.items():
        bench.backend.put(bench.path(name), DATA, digests={name: value})
        bench.holds(bench.path(name), DATA)


@case()
def wrong_digests(bench: Bench) -> None:
    """Digests that do not match are DigestMismatch where the storage can check, and nothing is stored."""
    for name in ("sha-256", "md5", "crc32c", "crc64nvme"):
        width = {"sha-256": 64, "md5": 32, "crc32c": 8}.get(name, 16)
        path, wrong = bench.path(name), {name: "1" * width}
        if bench.refused(partial(bench.backend.put, path, DATA, digests=wrong), DigestMismatch):
            bench.absent(path)
        else:
            bench.holds(path, DATA)


@case()
def wrong_digests_keep_old(bench: Bench) -> None:
    """A put that is refused for its digests leaves what was there."""
    path = bench.place("file", OTHER)
    put = bench.backend.put
    if bench.refused(partial(put, path, DATA, digests={"sha-256": "1" * 64}), DigestMismatch):
        bench.holds(path, OTHER)


@case(putting)
def identity(bench: Bench) -> None:
    """``key`` comes back as identity where the storage can remember it, and only then."""
    path, keys = bench.path("file"), [new_key(), new_key()]
    for key in keys:
        entry = bench.backend.put(path, DATA, key=key)
        require(entry.identity in (None, key), f"put of {key} has the identity {entry.identity}")
        seen = bench.backend.stat(path).identity
        require(seen in (None, key), f"after the put of {key} stat says identity {seen}")
    if bench.backend.stat(path).identity is not None:
        bench.backend.put(path, DATA)
        require(bench.backend.stat(path).identity not in keys, "a foreign put has the identity of the one before")


@case()
def deep(bench: Bench) -> None:
    """Folders on the way to a file need not be made first."""
    path = bench.place("some/new/folders/file", DATA)
    bench.holds(path, DATA)


@case()
def over_a_folder(bench: Bench) -> None:
    """A file where a folder is: refused, or both; never the loss of what is in the folder."""
    inside = bench.place("name/inside", DATA)
    refused = bench.refused(lambda: bench.backend.put(bench.path("name"), OTHER), *NO_FILE)
    bench.holds(inside, DATA)
    if not refused:
        bench.holds(bench.path("name"), OTHER)


@case()
def below_a_file(bench: Bench) -> None:
    """A file below another file: refused, or both; never the loss of the first."""
    path = bench.place("file", DATA)
    refused = bench.refused(lambda: bench.backend.put(path + "/below", OTHER), *NO_FILE)
    bench.holds(path, DATA)
    if not refused:
        bench.holds(path + "/below", OTHER)


@case()
def folder_name(bench: Bench) -> None:
    """A file cannot have the name of a folder."""
    for path in (bench.path("folder/"), bench.folder, ""):
        with bench.fails(*NO_FILE):
            bench.backend.put(path, DATA)


@case()
def outside_the_root(bench: Bench) -> None:
    """Nothing can be written or deleted outside the root."""
    for path in (bench.path("../../../../../../tmp/escaped"), "../escaped", bench.path("a/../../escaped")):
        with bench.fails(InvalidName, AccessDenied):
            bench.backend.put(path, DATA)
        with bench.fails(InvalidName, AccessDenied):
            bench.draft(path, 10)
        with bench.fails(InvalidName, AccessDenied, NotFound):
            bench.backend.delete(path)


@case()
def whole_for_readers(bench: Bench) -> None:
    """A reader sees the old object or the whole new one or SourceChanged, never a part of either."""
    path, size, stop = bench.path("file"), 300 * KiB, Event()
    bench.backend.put(path, b"0" * size)

    def look() -> set[tuple[int, int]]:
        seen = set()
        while not stop.is_set():
            with suppress(SourceChanged):
                got = bench.content(path)
                seen.add((len(got), len(set(got))))
        return seen

    with ThreadPoolExecutor(2) as threads:
        looks = [threads.submit(look) for _ in range(2)]
        try:
            for number in range(20):
                bench.backend.put(path, bytes([number]) * size)
        finally:
            stop.set()
        require(all(look.result() <= {(size, 1)} for look in looks), "a reader saw a part or a mix")


@DELETING.case()
def file(bench: Bench) -> None:
    """delete removes the file, and nothing else."""
    path, other = bench.place("file", DATA), bench.place("file2", OTHER)
    bench.backend.delete(path)
    bench.absent(path)
    bench.holds(other, OTHER)
    bench.backend.put(path, OTHER)
    bench.holds(path, OTHER)


@DELETING.case()
def missing(bench: Bench) -> None:
    """Deleting what is not there is NotFound."""
    bench.place("file", DATA)
    for name in ("absent", "no-folder/absent", "no-folder/", "fil"):
        with bench.fails(NotFound):
            bench.backend.delete(bench.path(name))
    path = bench.path("file")
    bench.backend.delete(path)
    with bench.fails(NotFound):
        bench.backend.delete(path)


@DELETING.case()
def full_folder(bench: Bench) -> None:
    """A folder that is not empty is not deleted."""
    inside = bench.place("folder/inside", DATA)
    for path in (bench.path("folder/"), bench.path("folder")):
        with bench.fails(Permanent):
            bench.backend.delete(path)
    bench.holds(inside, DATA)


@DELETING.case(claims("mkdir"))
def empty_folder(bench: Bench) -> None:
    """An empty folder is deleted by its name with a trailing slash."""
    folder = bench.path("folder/")
    require(bench.backend.extras.mkdir, "claimed")
    if bench.backend.extras.mkdir:
        bench.backend.extras.mkdir(folder)
    bench.backend.delete(folder)
    with bench.fails(NotFound):
        bench.backend.stat(folder)


@DELETING.case()
def file_as_folder(bench: Bench) -> None:
    """A file is not deleted by the name of a folder."""
    path = bench.place("file", DATA)
    with bench.fails(NotFound, NotRegular, InvalidName):
        bench.backend.delete(path + "/")
    bench.holds(path, DATA)


READ_ONLY = Cases("read-only", read_only)


@READ_ONLY.case()
def writes_nothing(bench: Bench) -> None:
    """A read-only storage refuses whatever would write, and changes nothing."""
    path, backend = bench.place("file", DATA), bench.backend
    actions: tuple[Callable[[], object], ...] = (
        lambda: backend.put(path, OTHER),
        lambda: backend.put(bench.path("new"), OTHER),
        lambda: backend.draft(path, 10, key=new_key()),
        lambda: backend.draft(path, 10, key=new_key(), ref="any"),
        lambda: backend.abandon(path, key=new_key(), ref=None, since=bench.since),
        lambda: backend.delete(path),
    )
    for action in actions:
        with bench.fails(Unsupported):
            action()
    bench.holds(path, DATA)


@READ_ONLY.case()
def claims_no_writing(bench: Bench) -> None:
    """A read-only storage claims no extra that writes."""
    extras = bench.backend.extras
    require(extras.copy is None and extras.move is None and extras.mkdir is None, f"it claims {extras}")
