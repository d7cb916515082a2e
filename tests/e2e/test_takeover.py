"""Engines that die or fall asleep: the next one goes on, and who wakes up too late changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import MiB

Site = Any  # from conftest.py
SIZE = 96 * MiB  # three blocks
SMALL = 100


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[path.name] = (status.st_ino, status.st_mtime_ns, status.st_size, path.read_bytes()[:64])
    return found


def inputs(site: Site) -> tuple[Path, Path, bytes]:
    source, out = site.posix("lab"), site.posix("out")
    data = os.urandom(MiB) * (SIZE // MiB)
    (source / "large").write_bytes(data)
    (source / "run").mkdir()
    for number in range(SMALL):
        (source / "run" / f"f{number}").write_bytes(b"%d" % number)
    return source, out, data


def assert_all_there(out: Path, data: bytes) -> None:
    assert (out / "large").read_bytes() == data
    assert {path.name: path.read_bytes() for path in (out / "run").iterdir()} == {
        f"f{number}": b"%d" % number for number in range(SMALL)
    }
    assert list(out.rglob(".*")) == []


def fall_asleep(pid: int, site: Site) -> None:
    """Stop a process, but not in the middle of a commit: nobody can write to an SQLite database that it has locked."""
    for _ in range(100):
        os.kill(pid, signal.SIGSTOP)
        if is_writable(site):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError("the process always holds the database")


def is_writable(site: Site) -> bool:
    if not site.url.startswith("sqlite:///"):
        return True
    with contextlib.closing(sqlite3.connect(site.url.removeprefix("sqlite:///"), timeout=1.0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
        return True


on_sqlite = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("site", "moment"),
    [("sqlite", "claimed"), ("sqlite", "copying"), ("sqlite", "blocks"), ("postgresql", "blocks")],
    indirect=["site"],
)
def test_a_killed_engine_is_taken_over_at_once(site: Site, moment: str) -> None:
    _, out, data = inputs(site)
    first = site.start(delay=0.02, streams=1, lease=600.0)
    transfer = site.submit(("lab:/large", "out:/large"), ("lab:/run/", "out:/run/"))
    reached = {
        "claimed": lambda: "file.claim" in site.types(transfer),
        "copying": lambda: site.get(transfer).files.done > SMALL // 3,
        "blocks": lambda: any(file.bytes_done >= 32 * MiB for file in site.files(transfer)),
    }
    site.until(reached[moment])
    first.kill()
    site.start(lease=600.0)
    done = site.wait(transfer)  # far less than the lease: nobody waits for it to run out
    assert (done.state, done.files.done, done.files.failed) == (TransferState.DONE, SMALL + 1, 0)
    assert_all_there(out, data)


def test_who_wakes_up_after_its_lease_changes_nothing(site: Site) -> None:
    _, out, data = inputs(site)
    hold = site.folder / "hold"  # so that it has not ended before it falls asleep
    hold.touch()
    zombie = site.start("one", delay=0.02, streams=1, lease=2.0, hold=str(hold))
    transfer = site.submit(("lab:/large", "out:/large"), ("lab:/run/", "out:/run/"))
    site.until(lambda: any(file.bytes_done >= 32 * MiB for file in site.files(transfer)))
    fall_asleep(zombie.pid, site)
    hold.unlink()
    try:
        site.start("two", lease=2.0)
        done = site.wait(transfer)
        assert done.state is TransferState.DONE
        assert "file.lapse" in site.types(transfer)
        assert_all_there(out, data)
        before, journal = tree(out), site.types(transfer)
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    time.sleep(1.0)
    assert tree(out) == before
    assert site.types(transfer) == journal
    assert zombie.runs()
    assert_all_there(out, data)


@on_sqlite
def test_an_engine_that_ends_gracefully_leaves_nothing_to_wait_for(site: Site) -> None:
    _, out, data = inputs(site)
    first = site.start("one", delay=0.02, streams=1)
    transfer = site.submit(("lab:/large", "out:/large"), ("lab:/run/", "out:/run/"))
    site.until(lambda: any(file.bytes_done >= 32 * MiB for file in site.files(transfer)))
    site.end(first)
    assert site.get(transfer).files.active == 0
    site.start("two")
    assert site.wait(transfer).state is TransferState.DONE
    assert_all_there(out, data)


def test_two_engines_share_the_work_and_do_nothing_twice(site: Site) -> None:
    source, out = site.posix("lab"), site.posix("out")
    for number in range(1000):
        (source / f"f{number}").write_bytes(b"%d" % number)
    site.start("one", delay=0.001)
    site.start("two", delay=0.001)
    transfer = site.submit(("lab:/", "out:/"))
    done = site.wait(transfer)
    assert (done.state, done.files.done) == (TransferState.DONE, 1000)
    assert site.types(transfer).count("file.claim") == 1000
    assert len(os.listdir(out)) == 1000


@on_sqlite
def test_a_folder_of_any_size_is_listed_in_little_memory(site: Site) -> None:
    source = site.posix("lab")
    site.posix("out")
    for folder in range(20):
        (source / f"d{folder}").mkdir()
        for number in range(1000):
            (source / f"d{folder}" / f"a-name-of-some-length-{number:08}").touch()
    engine = site.start()
    transfer = site.submit(("lab:/", "out:/"))
    site.until(lambda: not site.get(transfer).listing)
    site.store.ask(transfer, None, Wish.CANCEL)
    done = site.wait(transfer)
    assert (done.state, done.files.total) == (TransferState.CANCELLED, 20_000)
    assert done.files.done + done.files.cancelled == 20_000
    assert site.end(engine) < 150_000_000
