"""Uploads whose gateway dies at any moment: every offset ever told is still there, and the bytes are the sender's."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import pytest
from scigate.gateway_api.db.database import DatabaseUnavailable
from scigate.gateway_api.resources import FileState
from scigate.gateway_api.uploads.model import Append, NewUpload
from scigate.gateway_api.uploads.store import UploadStore
from scigate.storage_backends.backend import MiB

from .conftest import ADA, Desk

HERE = Path(__file__).parent
CHUNK, CHUNKS = 64 << 10, 400
PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import ADA, Desk
from scigate.gateway_api.uploads import writer

folder, url, id, checkpoint = Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
writer.CHECKPOINT = checkpoint
desk = Desk(folder, url)
data = (folder / "data").read_bytes()
while True:
    status = desk.uploads.status(ADA, id)
    print(json.dumps({"told": status.offset, "complete": status.complete}), flush=True)
    if status.complete:
        break
    appending = desk.open(id, status.offset)
    for number in range(6):
        start = status.offset + number * CHUNK
        if data[start : start + CHUNK]:
            appending.write([data[start : start + CHUNK]])
            print(json.dumps({"written": start + CHUNK}), flush=True)
    print(json.dumps({"told": appending.finish().offset}), flush=True)
""".replace("CHUNK", str(CHUNK))


@pytest.fixture
def data() -> bytes:
    return random.Random(7).randbytes(CHUNK * CHUNKS - 1000)


def run_and_kill(desk: Desk, id: str, until: Callable[[int], bool]) -> tuple[int, int, bool]:
    """Append in another process and kill it; the last offset told, the last byte written, and whether it ended."""
    desk.uploads.close()
    desk.database.close()
    command = [sys.executable, "-c", PROGRAM, str(HERE), str(desk.folder), desk.url, id, str(MiB)]
    told = written = 0
    complete = False
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            said = json.loads(line)
            told, written = max(told, said.get("told", 0)), max(written, said.get("written", 0))
            complete |= said.get("complete", False)
            if until(count):
                time.sleep(random.random() * 0.01)
                os.kill(process.pid, signal.SIGKILL)
                break
        for line in process.stdout:  # what it had said before it died
            said = json.loads(line) if line.endswith("\n") else {}
            told, written = max(told, said.get("told", 0)), max(written, said.get("written", 0))
            complete |= said.get("complete", False)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    return told, written, complete


@pytest.mark.long
def test_killed_again_and_again(desk: Desk, data: bytes) -> None:
    (desk.folder / "data").write_bytes(data)
    id = desk.new(len(data), digests={"sha-256": hashlib.sha256(data).hexdigest()})
    chance = random.Random(11)
    for _ in range(6):
        patience = chance.randrange(1, 90)
        told, written, complete = run_and_kill(desk, id, lambda count, patience=patience: count >= patience)  # type: ignore[misc]
        desk.restart()
        here = desk.offset(id)
        assert here >= max(told, min(written, len(data))), "bytes that had reached the file count after kill -9"
        desk.check(id)
        assert desk.path(id).read_bytes() == data[:here]
        assert desk.parts.staging.used() == here
        if complete:
            break
    here = desk.offset(id)
    if not desk.uploads.status(ADA, id).complete:
        assert desk.send(id, data[here:], here).complete
    assert desk.path(id).read_bytes() == data
    assert desk.file(id).state == FileState.QUEUED


def test_killed_before_the_end_is_recorded(desk: Desk, data: bytes) -> None:
    """All bytes are in the file, but nobody has said so: the next start does."""
    id = desk.new(len(data), digests={"sha-256": hashlib.sha256(data).hexdigest()})
    desk.path(id).write_bytes(data)
    desk.restart()
    status = desk.uploads.status(ADA, id)
    assert (status.offset, status.complete) == (len(data), True)
    assert desk.file(id).state == FileState.QUEUED
    desk.check(id)


def test_after_a_power_cut_only_what_was_durable_counts(desk: Desk, data: bytes) -> None:
    id, untouched = desk.new(len(data)), desk.new(len(data), "lab:/other")
    desk.send(id, data[:1000])
    with desk.path(id).open("ab") as file:
        file.write(b"\0" * 5000)  # as a file system leaves it: the size came to the disk, the bytes did not
    (desk.folder / "state" / "boot-id").write_text("another boot\n")
    desk.restart()
    assert (desk.offset(id), desk.path(id).stat().st_size, desk.offset(untouched)) == (1000, 1000, 0)
    desk.check(id)
    assert desk.parts.staging.used() == 1000
    assert desk.send(id, data[1000:], 1000).complete
    desk.check(id)


def test_killed_while_a_checksum_was_not_compared(desk: Desk, data: bytes) -> None:
    id = desk.new(len(data))
    desk.send(id, data[:1000])
    writer = desk.uploads.open(ADA, id, Append(1000, checksum=("sha1", b"x" * 20)))
    writer.write([b"wrong" * 100])  # and then the process is gone
    desk.database.close()
    desk.restart()
    assert (desk.offset(id), desk.path(id).read_bytes()) == (1000, data[:1000])
    assert [path.name for path in desk.parts.staging.folder.iterdir()] == [id]
    assert desk.send(id, data[1000:], 1000).complete


def test_a_database_that_was_away(desk: Desk, data: bytes) -> None:
    """The bytes are durable, the record was not written: the next request finds both."""
    id = desk.new(len(data))
    writer = desk.open(id, 0)
    writer.write([data[:5000]])
    desk.database.close()
    with pytest.raises(Exception, match="the database is closed"):
        writer.finish()
    desk.restart()
    assert desk.offset(id) == 5000
    desk.check(id)


def test_a_disk_that_was_emptied_behind_our_back(desk: Desk, data: bytes) -> None:
    id = desk.new(len(data))
    desk.send(id, data[:5000])
    os.truncate(desk.path(id), 3000)
    assert desk.offset(id) == 3000
    desk.check(id)
    desk.path(id).unlink()
    desk.restart()
    assert desk.offset(id) == 0
    assert desk.send(id, data).complete
    desk.check(id)


def test_what_was_checkpointed_survives_the_power(desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.gateway_api.uploads.writer.CHECKPOINT", 10_000)
    id = desk.new(len(data))
    writer = desk.open(id, 0)
    writer.write([data[:10_000]])
    end = time.monotonic() + 120
    while desk.row(id).received != 10_000:
        assert time.monotonic() < end
        time.sleep(0.01)
    desk.check(id)
    writer.write([data[10_000:10_100]])
    (desk.folder / "state" / "boot-id").write_text("another boot\n")
    desk.database.close()
    desk.restart()
    assert desk.offset(id) == 10_000
    desk.check(id)


def test_a_disk_that_fails_to_sync_is_not_believed(desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync tells an error once; what is in the page cache afterwards may never have reached the disk."""
    id = desk.new(len(data))
    desk.send(id, data[:1000])
    writer = desk.open(id, 1000)
    writer.write([data[1000:5000]])
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", _fails)
        with pytest.raises(Exception, match="cannot write to its own disk"):
            writer.finish()
    assert desk.offset(id) == 1000
    desk.check(id)
    assert desk.send(id, data[1000:], 1000).complete


def test_a_checkpoint_that_fails_never_counts_a_piece_twice(
    desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The piece that is written when it fails is either there and counted, or refused and not there."""
    monkeypatch.setattr("scigate.gateway_api.uploads.writer.CHECKPOINT", 1000)
    data = data[:50_500]
    id = desk.new(len(data))
    writer, refused = desk.open(id, 0), 0
    with monkeypatch.context() as patch:
        patch.setattr(UploadStore, "record", _is_away)
        for first in range(0, len(data), 1000):
            try:
                writer.write([data[first : first + 1000]])
            except DatabaseUnavailable:
                refused += 1
                writer.write([data[first : first + 1000]])  # what a cut connection does with what was not taken
            assert writer.offset == min(first + 1000, len(data))
            time.sleep(0.001)
    assert (refused, writer.finish().complete) == (0, True)
    assert desk.path(id).read_bytes() == data
    desk.check(id)


def test_a_checkpoint_that_cannot_sync_stops_the_stream(
    desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.uploads.writer.CHECKPOINT", 1000)
    data = data[:50_500]
    id = desk.new(len(data))
    writer = desk.open(id, 0)
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", _fails)
        with pytest.raises(Exception, match="cannot write to its own disk"):
            for first in range(0, len(data), 1000):
                before = writer.offset
                writer.write([data[first : first + 1000]])
                assert writer._checkpoint is not None
                assert wait([writer._checkpoint], 120).done, "the thread that syncs; it fails with the first piece"
    assert writer.offset == before, "what is refused is not appended"
    with pytest.raises(Exception, match="cannot write to its own disk"):
        writer.finish()
    assert desk.offset(id) == 0, "nothing of it is believed"
    assert desk.send(id, data).complete


def test_a_full_disk(desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    id = desk.new(len(data))
    writer = desk.open(id, 0)
    writer.write([data[:1000]])
    with monkeypatch.context() as patch:
        patch.setattr("os.pwritev", _fails)
        with pytest.raises(Exception, match="disk"):
            writer.write([data[1000:2000]])
    assert writer.abort().offset == 1000
    desk.check(id)
    assert desk.parts.staging.used() == 1000


def test_a_crash_between_file_and_record_leaves_no_orphan(desk: Desk) -> None:
    created = desk.uploads.create(ADA, NewUpload(length=10, destination="lab:/x"))
    (desk.parts.staging.folder / f"{'a' * 32}.part").write_bytes(b"cut")
    desk.restart()
    desk.uploads.sweep()
    assert list(desk.parts.staging.folder.iterdir()) == []
    assert desk.offset(created.id) == 0


def _fails(*arguments: object) -> None:
    raise OSError(5, "Input/output error")


def _is_away(*arguments: object) -> None:
    raise DatabaseUnavailable("the database is away")
