"""A SQLite database that is locked, pinned, damaged, removed, or an older copy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.settings_errors import SettingsError

from .gates import gate
from .stand import Stand, problem, until

MiB = 1 << 20
LARGE = 36 * MiB
Make = Callable[..., Stand]
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=150)
connection.execute("BEGIN " + sys.argv[2])
connection.execute("SELECT count(*) FROM file").fetchone()
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@contextmanager
def held(database: Path, how: str) -> Iterator[None]:
    """Another process has a transaction open: ``EXCLUSIVE``, or ``DEFERRED`` to read."""
    command = [sys.executable, "-c", HOLD, str(database), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(150)


def filled(stand: Stand, count: int = 40, size: int = 20_000) -> list[tuple[str, str]]:
    """Files in ``lab``, and where each shall go."""
    for number in range(count):
        (stand.root("lab") / f"f{number}").write_bytes(os.urandom(size))
    return [(f"lab:/f{number}", f"out:/f{number}") for number in range(count)]


def test_a_lock_of_another_process_delays_and_loses_nothing(stand: Make) -> None:
    began = time.monotonic()
    made = stand(limits={"batch_files": 4})
    pairs = filled(made)
    (made.root("lab") / "large").write_bytes(os.urandom(LARGE))
    made.start()
    half = gate(made, "lab", LARGE // 2)  # it is still being copied when the lock is there
    running = made.submit(("lab:/large", "out:/large"), *pairs[:20])
    assert half.reached.wait(150)
    with held(made.database_file, "EXCLUSIVE"):
        half.opened.set()
        time.sleep(3)
        assert made.get(running)["finished"] is None, "nothing was recorded meanwhile"
        assert made.client().get("/healthz").status_code == 200
    later = made.submit(*pairs[20:])
    assert made.wait(running)["state"] == made.wait(later)["state"] == "DONE"
    assert made.integrity() == "ok"
    made.settle("faults.database", began, fault="locked")


def test_the_log_of_the_database_shrinks_when_a_long_reader_has_gone(
    stand: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    monkeypatch.setattr("scigate.gateway_api.db.database.WAL_KEPT", MiB)
    made = stand()
    pairs = filled(made, 4)
    made.start()
    wal = made.database_file.with_name("scigate.db-wal")
    many = [(f"lab:/none/{number:04}{'x' * 200}", f"out:/none/{number:04}") for number in range(3000)]
    with held(made.database_file, "DEFERRED"):
        stuck = made.submit(*many, priority=0)
        until(lambda: wal.stat().st_size > 6 * MiB, tell=lambda: f"{wal.stat()}")
    made.ask(stuck, "cancel")
    until(lambda: made.get(stuck)["finished"] is not None)

    def small() -> bool:
        assert made.wait(made.submit(*pairs, overwrite="overwrite"))["state"] == "DONE"
        return wal.stat().st_size <= 2 * MiB

    until(small, 120, lambda: f"{wal.stat()}")
    made.settle("faults.database", began, fault="long reader")


def test_a_damaged_database_is_refused_and_left_as_it_is(stand: Make) -> None:
    began, bad = time.monotonic(), []
    made = stand()
    pairs = filled(made)
    made.start()
    assert made.wait(made.submit(*pairs))["state"] == "DONE"
    made.stop()
    whole = made.database_file.read_bytes()
    pages = len(whole) // 4096
    for number in (0, 2, pages // 3, pages // 2, pages - 2):
        damaged = bytearray(whole)
        damaged[number * 4096 : number * 4096 + 512] = os.urandom(512)
        made.database_file.write_bytes(damaged)
        with pytest.raises(SettingsError) as refusal:
            made.start()
        assert "scigate.db" in str(refusal.value)
        assert "backup" in str(refusal.value) or "cannot be opened" in str(refusal.value)
        if made.database_file.read_bytes() != damaged:
            bad.append(f"page {number}: the file was changed")
    made.database_file.write_bytes(whole)
    made.start()
    assert bad == []
    made.settle("faults.database", began, runs=5, fault="damaged page")


def test_a_database_that_has_vanished_is_not_silently_begun_anew(stand: Make) -> None:
    began = time.monotonic()
    made = stand()
    pairs = filled(made, 3)
    made.start()
    assert made.wait(made.submit(*pairs))["state"] == "DONE"
    made.stop()
    aside = made.folder / "aside.db"
    made.database_file.rename(aside)
    with pytest.raises(SettingsError, match="scigate migrate"):
        made.start()
    assert not made.database_file.exists()
    migrate(made.url)  # what the message advises
    made.start()
    assert made.client().get("/api/v1/transfers").json()["items"] == []
    made.settle("faults.database", began, fault="deleted")


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_not_there_any_more(stand: Make, how: str) -> None:
    """Its descriptors would still take commits, which would be gone with the process."""
    began = time.monotonic()
    made = stand()
    pairs = filled(made, 3)
    made.start()
    first = made.submit(*pairs)
    assert made.wait(first)["state"] == "DONE"
    aside, copy = made.folder / "aside.db", made.folder / "copy.db"
    with closing(sqlite3.connect(made.database_file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    made.database_file.rename(aside)
    if how == "replaced":
        copy.rename(made.database_file)
    answer = problem(made.post(("lab:/f0", "out:/late")), 503, "database-unavailable")
    assert answer["retriable"]
    assert made.client().get("/readyz").status_code == 503
    assert how in made.client().get("/readyz").json()["detail"]
    aside.replace(made.database_file)
    until(lambda: made.post(("lab:/f0", "out:/late")).status_code == 202)
    assert made.wait(first)["state"] == "DONE"
    until(lambda: all(t["finished"] for t in made.client().get("/api/v1/transfers").json()["items"]))
    made.settle("faults.database", began, fault=how)


def test_stale_jobs_of_an_older_copy_overwrite_nothing(stand: Make) -> None:
    """A backup was taken while transfers were queued; since then they were done, and their owner went on to work with
    the files. After the restore they rest until their owner says that they are still wanted."""
    began = time.monotonic()
    made = stand()
    pairs = filled(made, 3)
    out, aside, backup = made.root("out"), made.folder / "aside", made.folder / "backup.db"
    made.start()
    assert made.wait(made.submit(("lab:/f0", "out:/first")))["state"] == "DONE"
    out.rename(aside)
    transfer = made.submit(*pairs, overwrite="overwrite")
    with closing(sqlite3.connect(made.database_file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    aside.rename(out)
    assert made.wait(transfer)["state"] == "DONE"
    made.stop()
    for number in range(3):
        (out / f"f{number}").write_bytes(b"what ada has made of it since")
    _restore(backup, made.database_file)
    made.start()
    until(lambda: made.get(transfer)["state"] == "PAUSED", tell=lambda: made.tell(transfer))
    assert {(out / f"f{number}").read_bytes() for number in range(3)} == {b"what ada has made of it since"}
    made.ask(transfer, "resume")
    assert made.wait(transfer)["state"] == "DONE"
    made.stop()
    made.start()
    assert made.wait(made.submit(("lab:/f0", "out:/last")))["state"] == "DONE"
    made.settle("faults.database", began, fault="older copy")


def _restore(backup: Path, database: Path) -> None:
    for leftover in ("scigate.db-wal", "scigate.db-shm"):
        database.with_name(leftover).unlink(missing_ok=True)
    shutil.copy(backup, database)
