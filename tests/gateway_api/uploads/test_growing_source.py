"""Uploads as a source that grows: what can be read, what is waited for, what is given up."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from scigate.gateway_api.uploads.arrivals import Arrivals
from scigate.gateway_api.uploads.source import StagedSource
from scigate.gateway_api.uploads.staged import Released, StagedPart, StagedUpload, Starved
from scigate.gateway_api.uploads.staging import allocated
from scigate.gateway_api.uploads.window import punch
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import NotFound, SourceChanged, Truncated, Unsupported

LONG = timedelta(seconds=240)


class Uploads:
    """What stands in the records."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, StagedUpload] = {}
        self.arrivals = Arrivals()
        self.source = StagedSource("staging@0badcafe", folder, self.lookup, self.arrivals)
        self.folder = folder

    def lookup(self, id: str) -> StagedUpload:
        if id not in self.records:
            raise NotFound("gone", path=id)
        return self.records[id]

    def add(self, id: str, data: bytes, length: int | None = 10, **more: object) -> StagedUpload:
        (self.folder / id).write_bytes(data)
        self.records[id] = replace(StagedUpload(id, length, len(data), complete=False), **more)  # type: ignore[arg-type]
        return self.records[id]

    def read(self, id: str, offset: int = 0, length: int | None = None, version: str | None = None) -> bytes:
        return b"".join(map(bytes, self.source.read(id, offset, length, version=version)))


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path)


def test_what_has_arrived_can_be_read_and_what_has_not_is_no_error_of_a_storage(uploads: Uploads) -> None:
    uploads.add("u1", b"012345")
    assert uploads.read("u1", 2, 4) == b"2345"
    with pytest.raises(Starved):
        uploads.read("u1", 2, 5)
    with (uploads.folder / "u1").open("ab") as file:
        file.write(b"6789")
    uploads.arrivals.grown("u1", 10)  # not recorded yet
    assert uploads.read("u1") == b"0123456789"
    with pytest.raises(Truncated):
        uploads.read("u1", 5, 6)
    with pytest.raises(SourceChanged):
        uploads.read("u1", version="u2")
    with pytest.raises(NotFound):
        uploads.read("u2")


def test_a_digest_is_told_of_a_complete_upload_only(uploads: Uploads) -> None:
    before = uploads.add("u1", b"0123456789", modified=5.0)
    entry = uploads.source.stat("u1")
    assert (entry.size, entry.version, dict(entry.digests)) == (10, "u1", {})
    uploads.records["u1"] = replace(before, complete=True, crc64nvme="ab" * 8)
    assert dict(uploads.source.stat("u1").digests) == {"crc64nvme": "ab" * 8}
    uploads.add("u2", b"0", None)
    with pytest.raises(Starved):
        uploads.source.stat("u2")


@pytest.mark.parametrize(("offset", "length"), [(0, 12), (2, 3), (3, 4), (4, 1), (11, 1), (5, 0)])
def test_an_upload_that_is_made_of_others_is_read_through(uploads: Uploads, offset: int, length: int) -> None:
    for id, data in (("a", b"0123"), ("b", b"4"), ("c", b""), ("d", b"56789xy")):
        uploads.add(id, data)
    parts = (StagedPart("a", 4), StagedPart("b", 1), StagedPart("c", 0), StagedPart("d", 7))
    uploads.records["whole"] = StagedUpload("whole", 12, 0, complete=True, parts=parts)
    assert uploads.read("whole", offset, length) == b"0123456789xy"[offset : offset + length]


def test_who_waits_is_woken_by_what_it_waits_for(uploads: Uploads) -> None:
    uploads.add("u1", b"")
    waiting = threading.Thread(target=lambda: found.append(uploads.source.wait("u1", 8, LONG)))
    found: list[int] = []
    waiting.start()
    for count in (3, 8):
        assert found == []
        uploads.arrivals.grown("u1", count)
    waiting.join(120)
    assert found == [8]
    assert uploads.source.wait("u1", 9, timedelta(milliseconds=20)) == 8
    assert not uploads.source.wait_complete("u1", timedelta(milliseconds=20))
    uploads.arrivals.grown("u1", 10, complete=True)
    assert uploads.source.wait_complete("u1", LONG)


def test_the_end_of_an_upload_wakes_who_waits_for_it(uploads: Uploads) -> None:
    uploads.add("u1", b"")
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(uploads.arrivals.wait("u1", 5, LONG)), daemon=True)
    waiting.start()
    end = time.monotonic() + LONG.total_seconds() / 2
    while waiting.is_alive() and time.monotonic() < end:
        uploads.arrivals.ended("u1")  # again, for it may not wait yet
        waiting.join(0.05)
    assert found == [0]
    assert uploads.arrivals.known("u1") == 0


def test_news_are_told_once_or_when_somebody_asks_again() -> None:
    arrivals = Arrivals()
    arrivals.grown("u1", 5)
    assert (arrivals.news(), arrivals.news()) == ({"u1"}, set())
    arrivals.look_again("u1")
    arrivals.look_again("u2")  # nothing is known of it
    assert arrivals.news() == {"u1"}
    arrivals.grown("u1", 3)
    assert arrivals.known("u1") == 5


def test_what_was_given_up_is_never_read_as_zeros(uploads: Uploads) -> None:
    data = os.urandom(3 * MiB)
    before = uploads.add("u1", data, 3 * MiB)
    punch(uploads.folder / "u1", 2 * MiB)
    uploads.records["u1"] = replace(before, released=2 * MiB)
    status = (uploads.folder / "u1").stat()
    assert (status.st_size, allocated(status)) == (3 * MiB, MiB)
    assert uploads.read("u1", 2 * MiB) == data[2 * MiB :]
    with pytest.raises(Released):
        uploads.read("u1", 2 * MiB - 1)


def test_it_is_only_read(uploads: Uploads) -> None:
    for act in (lambda: uploads.source.delete("u1"), lambda: uploads.source.put("u1", b"x"), uploads.source.scan):
        with pytest.raises(Unsupported):
            act()
