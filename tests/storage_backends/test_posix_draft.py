"""Drafts of the POSIX storage: invisible until whole, durable when published, fenced when taken over."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scigate.storage_backends.backend import KiB, MiB, PartReceipt
from scigate.storage_backends.errors import (
    AlreadyExists,
    Fenced,
    InvalidName,
    NotFound,
    NotRegular,
    StorageError,
    Truncated,
    Unreachable,
)
from scigate.storage_backends.posix import PosixBackend, PosixOptions
from scigate.storage_backends.posix_draft import PosixDraft

NOW = datetime.now(UTC)
BLOCK = MiB


@pytest.fixture
def storage(tmp_path: Path) -> PosixBackend:
    return PosixBackend(PosixOptions(root=str(tmp_path)))


def write(draft: PosixDraft, data: bytes, numbers: list[int] | None = None) -> list[PartReceipt]:
    order = range(-(-len(data) // BLOCK)) if numbers is None else numbers
    return [write_block(draft, data, number) for number in order]


def write_block(draft: PosixDraft, data: bytes, number: int) -> PartReceipt:
    block = data[number * BLOCK : (number + 1) * BLOCK]
    pieces = (block[start : start + 300 * KiB] for start in range(0, len(block), 300 * KiB))
    return draft.write(number, number * BLOCK, len(block), pieces)


def publish(draft: PosixDraft, receipts: list[PartReceipt], *, if_absent: bool = False) -> object:
    return draft.publish(receipts, if_absent=if_absent, digests={})


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(".scigate-"))


def open_files(folder: Path) -> list[str]:
    """What this process has open below ``folder``."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in links if link.startswith(f"{folder}/"))


@pytest.mark.parametrize("size", [0, 1, 10 * KiB, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("deferred", [False, True])
def test_a_draft_becomes_the_file_and_says_so(storage: PosixBackend, tmp_path: Path, size: int, deferred: bool) -> None:
    data = os.urandom(size)
    draft = storage.draft("run/x", size, key="k1", deferred=deferred)
    receipts = write(draft, data)
    assert os.listdir(tmp_path / "run") == [".scigate-k1"] and list(storage.scan()) == []
    draft.seal()
    entry = draft.publish(receipts, if_absent=True, digests={})
    assert (tmp_path / "run/x").read_bytes() == data
    assert entry == storage.stat("run/x") and entry.identity == draft.identity
    assert hidden(tmp_path / "run") == []


def test_blocks_in_any_order_from_many_threads(storage: PosixBackend, tmp_path: Path) -> None:
    data = os.urandom(8 * BLOCK)
    draft = storage.draft("x", len(data), key="k")
    receipts: list[PartReceipt] = []
    numbers = [5, 1, 7, 0, 3, 2, 6, 4]
    threads = [threading.Thread(target=lambda n=n: receipts.append(write_block(draft, data, n))) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publish(draft, receipts)
    assert (tmp_path / "x").read_bytes() == data


@pytest.mark.parametrize("given", [0, 1, BLOCK - 1, BLOCK + 1])
def test_a_block_is_exactly_as_long_as_promised(storage: PosixBackend, tmp_path: Path, given: int) -> None:
    draft = storage.draft("x", BLOCK, key="k")
    with pytest.raises(Truncated):
        draft.write(0, 0, BLOCK, [b"x" * given] if given else [])
    with pytest.raises(Truncated):
        publish(draft, [PartReceipt(0, 0, BLOCK)])
    publish(draft, write(draft, b"y" * BLOCK))
    assert (tmp_path / "x").read_bytes() == b"y" * BLOCK


def test_a_block_outside_the_draft_is_refused(storage: PosixBackend) -> None:
    draft = storage.draft("x", 10, key="k")
    for offset, length in [(0, 11), (10, 1), (-1, 2), (0, -1)]:
        with pytest.raises(Truncated):
            draft.write(0, offset, length, [b"x" * max(length, 0)])


def test_receipts_that_leave_a_gap_do_not_publish(storage: PosixBackend, tmp_path: Path) -> None:
    data = os.urandom(3 * BLOCK)
    draft = storage.draft("x", len(data), key="k")
    receipts = write(draft, data)
    for some in ([], receipts[1:], receipts[:2], [receipts[0], receipts[2]]):
        with pytest.raises(Truncated):
            publish(draft, some)
    assert not (tmp_path / "x").exists()
    publish(draft, receipts[::-1])


def test_holes_stay_holes_and_zeros_over_data_are_written(storage: PosixBackend, tmp_path: Path) -> None:
    size = 16 * BLOCK
    draft = storage.draft("x", size, key="k")
    data = bytes(8 * BLOCK) + os.urandom(BLOCK) + bytes(7 * BLOCK)
    receipts = write(draft, data)
    draft.seal()
    assert os.stat(tmp_path / ".scigate-k").st_blocks * 512 < 3 * BLOCK
    write_block(draft, bytes(size), 8)
    publish(draft, receipts)
    assert (tmp_path / "x").read_bytes() == bytes(size)


def test_zeros_in_a_draft_taken_over_are_written(storage: PosixBackend, tmp_path: Path) -> None:
    older = storage.draft("x", 2 * BLOCK, key="a")
    write(older, b"x" * 2 * BLOCK)
    newer = storage.draft("x", 2 * BLOCK, key="b", ref=older.ref)
    publish(newer, write(newer, bytes(2 * BLOCK)))
    assert (tmp_path / "x").read_bytes() == bytes(2 * BLOCK)


@pytest.mark.parametrize("deferred", [False, True])
def test_a_draft_is_read_back(storage: PosixBackend, deferred: bool) -> None:
    data = os.urandom(3 * BLOCK + 17)
    draft = storage.draft("x", len(data), key="k", deferred=deferred)
    write(draft, data)
    for _ in range(2):
        assert b"".join(bytes(b) for b in draft.read(0, len(data))) == data
        assert b"".join(bytes(b) for b in draft.read(BLOCK - 3, 9)) == data[BLOCK - 3 : BLOCK + 6]
        draft.seal()
    with pytest.raises(Truncated):
        list(draft.read(1, len(data)))


def test_if_absent_changes_nothing_when_something_is_there(storage: PosixBackend, tmp_path: Path) -> None:
    storage.put("x", b"old")
    draft = storage.draft("x", 3, key="k")
    receipts = write(draft, b"new")
    with pytest.raises(AlreadyExists):
        publish(draft, receipts, if_absent=True)
    assert (tmp_path / "x").read_bytes() == b"old" and hidden(tmp_path) == [draft.ref]
    publish(draft, receipts)
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_folder_is_never_replaced_by_a_file(storage: PosixBackend, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    draft = storage.draft("x", 1, key="k")
    receipts = write(draft, b"1")
    with pytest.raises(NotRegular):
        publish(draft, receipts)
    with pytest.raises(AlreadyExists):
        publish(draft, receipts, if_absent=True)


def test_of_many_that_publish_if_absent_exactly_one_wins(storage: PosixBackend, tmp_path: Path) -> None:
    for turn in range(20):
        outcomes: list[str] = []
        drafts = [storage.draft(f"x{turn}", 1, key=f"{turn}-{n}", deferred=True) for n in range(8)]
        receipts = [write(draft, bytes([n])) for n, draft in enumerate(drafts)]
        ready = threading.Barrier(len(drafts))

        def race(n: int) -> None:
            ready.wait()  # noqa: B023 joined below
            try:
                publish(drafts[n], receipts[n], if_absent=True)  # noqa: B023
                outcomes.append(str(n))  # noqa: B023
            except AlreadyExists:
                drafts[n].discard()  # noqa: B023

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str((tmp_path / f"x{turn}").read_bytes()[0])] == outcomes
    assert hidden(tmp_path) == []


def test_taking_over_fences_the_older_attempt(storage: PosixBackend, tmp_path: Path) -> None:
    older = storage.draft("x", 2 * BLOCK, key="a")
    receipts = write(older, b"1" * 2 * BLOCK)
    newer = storage.draft("x", 2 * BLOCK, key="b", ref=older.ref)
    assert b"".join(bytes(b) for b in newer.read(0, 2 * BLOCK)) == b"1" * 2 * BLOCK
    publish(newer, receipts)
    older.write(0, 0, BLOCK, [b"2" * BLOCK])  # a process that slept through its lease
    with pytest.raises(Fenced):
        publish(older, receipts)
    older.discard()
    assert (tmp_path / "x").read_bytes() == b"1" * 2 * BLOCK
    assert storage.stat("x").identity == newer.identity != older.identity
    assert hidden(tmp_path) == []


def test_an_attempt_that_has_sealed_is_fenced_as_well(storage: PosixBackend) -> None:
    older = storage.draft("x", 1, key="a", deferred=True)
    receipts = write(older, b"1")
    older.seal()
    storage.draft("x", 1, key="b", ref=older.ref)
    for attempt in (
        lambda: publish(older, receipts),
        lambda: write(older, b"2"),
        lambda: list(older.read(0, 1)),
    ):
        with pytest.raises(Fenced):
            attempt()


def test_a_draft_of_a_dead_process_goes_on_in_its_own_inode(storage: PosixBackend, tmp_path: Path) -> None:
    script = """
import os, signal, sys
from scigate.storage_backends.posix import PosixBackend, PosixOptions
draft = PosixBackend(PosixOptions(root=sys.argv[1])).draft("x", 2 << 20, key="a")
draft.write(0, 0, 1 << 20, [b"1" * (1 << 20)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    inode = (tmp_path / ".scigate-a").stat().st_ino
    draft = storage.draft("x", 2 * BLOCK, key="b", ref=".scigate-a")
    assert hidden(tmp_path) == [".scigate-b"] and (tmp_path / ".scigate-b").stat().st_ino == inode
    assert draft.parts() == {}
    publish(draft, [PartReceipt(0, 0, BLOCK), *write(draft, b"2" * 2 * BLOCK, [1])])
    assert (tmp_path / "x").read_bytes() == b"1" * BLOCK + b"2" * BLOCK


def test_a_ref_that_is_gone_is_not_found(storage: PosixBackend) -> None:
    older = storage.draft("x", 1, key="a")
    older.discard()
    with pytest.raises(NotFound):
        storage.draft("x", 1, key="b", ref=older.ref)
    with pytest.raises(NotFound):
        storage.draft("no/x", 1, key="b", ref=older.ref)


@pytest.mark.parametrize(
    "ref", ["x", "../x", ".scigate-", ".scigate-../../x", ".scigate-a/b", "", ".scigate-" + "k" * 250]
)
def test_a_ref_that_is_no_draft_of_ours_is_refused(storage: PosixBackend, tmp_path: Path, ref: str) -> None:
    storage.put("x", b"mine")
    with pytest.raises(InvalidName):
        storage.draft("y", 1, key="b", ref=ref)
    with pytest.raises(InvalidName):
        storage.abandon("y", key="b", ref=ref, since=NOW)
    assert (tmp_path / "x").read_bytes() == b"mine"


@pytest.mark.parametrize("key", ["", "a/b", "a~", "ä", "k" * 250])
def test_a_key_is_of_letters_digits_dash_and_dot(storage: PosixBackend, key: str) -> None:
    with pytest.raises(InvalidName):
        storage.draft("x", 1, key=key)


def test_a_key_is_used_once(storage: PosixBackend, tmp_path: Path) -> None:
    first = storage.draft("x", 1, key="k")
    with pytest.raises(Fenced):
        storage.draft("x", 1, key="k")
    publish(first, write(first, b"1"))
    assert (tmp_path / "x").read_bytes() == b"1"


def test_abandon_removes_what_a_crash_left_and_nothing_else(storage: PosixBackend, tmp_path: Path) -> None:
    storage.put("run/x", b"published")
    mine, other = storage.draft("run/x", 1, key="mine"), storage.draft("run/x", 1, key="other")
    (tmp_path / "run/.scigate-mine~").write_bytes(b"copy of a take-over")
    storage.abandon("run/x", key="mine", ref=None, since=NOW)
    assert sorted(os.listdir(tmp_path / "run")) == [other.ref, "x"]
    storage.abandon("run/x", key="mine", ref=mine.ref, since=NOW)
    storage.abandon("gone/x", key="mine", ref=None, since=NOW)
    storage.abandon("run/x/y", key="mine", ref=None, since=NOW)
    storage.abandon("run/x", key="newer", ref=other.ref, since=NOW)
    assert os.listdir(tmp_path / "run") == ["x"]


def test_publish_after_the_draft_or_its_folder_was_removed(storage: PosixBackend, tmp_path: Path) -> None:
    draft = storage.draft("run/x", 1, key="k")
    receipts = write(draft, b"1")
    (tmp_path / "run/.scigate-k").unlink()
    with pytest.raises(Fenced):
        publish(draft, receipts)
    (tmp_path / "run").rmdir()
    with pytest.raises(NotFound, match="folder of 'run/x' was removed"):
        publish(draft, receipts)


def test_a_discarded_draft_is_gone_and_writes_nothing(storage: PosixBackend, tmp_path: Path) -> None:
    draft = storage.draft("x", BLOCK, key="k")
    draft.discard()
    draft.discard()
    assert os.listdir(tmp_path) == []
    with pytest.raises(Unreachable, match="discarded"):
        write(draft, b"1" * BLOCK)


def test_a_draft_closes_its_file(storage: PosixBackend, tmp_path: Path) -> None:
    drafts = [storage.draft(f"d{n}/x", 1, key="k", deferred=n % 2 == 0) for n in range(40)]
    receipts = [write(draft, b"1") for draft in drafts]
    assert len(open_files(tmp_path)) == 40
    for draft in drafts:
        draft.seal()
        assert list(map(bytes, draft.read(0, 1))) == [b"1"]
    assert len(open_files(tmp_path)) == 20, "many deferred drafts must not use up the descriptors"
    for draft, written in zip(drafts[:20], receipts, strict=False):
        publish(draft, written)
    for draft in drafts[20:]:
        draft.discard()
    assert open_files(tmp_path) == []


def test_the_error_of_a_source_passes_through_as_it_is(storage: PosixBackend) -> None:
    class SourceError(StorageError):
        pass

    def source() -> Iterator[bytes]:
        yield b"1"
        raise SourceError("the source broke off")

    draft = storage.draft("x", 2, key="k")
    with pytest.raises(SourceError):
        draft.write(0, 0, 2, source())


@pytest.mark.parametrize("finish", ["again", "publish", "discard"])
def test_a_writer_that_was_overtaken_writes_no_more(storage: PosixBackend, tmp_path: Path, finish: str) -> None:
    draft = storage.draft("x", BLOCK, key="k")
    stalled, go = threading.Event(), threading.Event()
    errors: list[StorageError] = []

    def slow() -> Iterator[bytes]:
        yield b"1" * 10
        stalled.set()
        go.wait(120)
        yield b"1" * (BLOCK - 10)

    def write_slowly() -> None:
        try:
            draft.write(0, 0, BLOCK, slow())
        except StorageError as error:
            errors.append(error)

    writer = threading.Thread(target=write_slowly)
    writer.start()
    assert stalled.wait(120)
    receipts = write(draft, b"2" * BLOCK)
    if finish == "discard":
        draft.discard()
    elif finish == "publish":
        publish(draft, receipts)
    go.set()
    writer.join()
    assert [type(error) for error in errors] == [Fenced]
    if finish == "again":
        publish(draft, receipts)
    assert finish == "discard" or (tmp_path / "x").read_bytes() == b"2" * BLOCK
