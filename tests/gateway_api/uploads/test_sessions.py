"""Uploads from their creation to their end: what is told is durable, what is refused leaves nothing behind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from awscrt import checksums
from scigate.gateway_api.db.schema import transfer, upload
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import FileState, FolderToSend, UploadState
from scigate.gateway_api.uploads.appending import OffsetMismatch
from scigate.gateway_api.uploads.model import Append, Kind, NewUpload
from scigate.gateway_api.uploads.writer import Preempted
from scigate.storage_backends.errors import InvalidName, NoSpace, NotRegular
from sqlalchemy import update

from .conftest import ADA, BO, ROOT, Desk

DATA = bytes(range(256)) * 40
SHA = hashlib.sha256(DATA).hexdigest()


def refused(call: Callable[[], object], status: int, code: str) -> Problem:
    with pytest.raises(Problem) as raised:
        call()
    assert (raised.value.status, raised.value.code) == (status, code)
    assert raised.value.next_step
    return raised.value


# --- create ----------------------------------------------------------------------------------------------------------


def test_an_upload_begins_as_a_file_that_waits_for_its_sender(desk: Desk) -> None:
    id = desk.new(100, name="run.dat", metadata="filename cnVuLmRhdA==")
    status = desk.uploads.status(ADA, id)
    assert (status.offset, status.length, status.complete, status.metadata) == (0, 100, False, "filename cnVuLmRhdA==")
    assert status.expires is not None and status.expires > datetime.now(UTC)
    found = desk.file(id)
    assert (found.state, found.size, found.source_path) == (FileState.WAITING, 100, id)
    assert found.source_storage == desk.parts.name
    view = desk.uploads.show(ADA, id)
    assert (view.state, view.destination, view.name) == (UploadState.RECEIVING, "lab:/file", "run.dat")
    assert desk.transfers.get(str(view.transfer), "ada").bytes_total == 100
    assert desk.events() == ["transfer.submitted", "upload.created"]


@pytest.mark.parametrize(
    ("new", "status", "code"),
    [
        (NewUpload(destination="bos:/file"), 404, "not-found"),
        (NewUpload(destination="none:/file"), 404, "not-found"),
        (NewUpload(destination="frozen:/file"), 403, "read-only"),
        (NewUpload(destination="lab:/file", length=11 << 30), 413, "too-large"),
        (NewUpload(destination="lab:/f", length=0, digests={"sha-256": SHA}), 422, "digest-mismatch"),
        (NewUpload(kind=Kind.FINAL, destination="lab:/f", parts=("0" * 32,)), 404, "not-found"),
    ],
)
def test_a_refused_creation_leaves_nothing_behind(desk: Desk, new: NewUpload, status: int, code: str) -> None:
    refused(lambda: desk.uploads.create(ADA, new), status, code)
    assert (desk.count(upload), desk.count(transfer), desk.parts.staging.used()) == (0, 0, 0)


@pytest.mark.parametrize("destination", ["lab:/", "lab:/folder/", "lab:/a/../b", "lab", "staging@00000000:/x", ""])
def test_a_destination_is_the_name_of_a_file(desk: Desk, destination: str) -> None:
    with pytest.raises((InvalidName, NotRegular)):
        desk.new(1, destination)
    assert desk.count(upload) == 0


def test_the_same_key_gives_the_same_upload(desk: Desk) -> None:
    first = desk.new(100, key="k")
    desk.send(first, DATA[:60])
    again = desk.uploads.create(ADA, NewUpload(length=100, destination="lab:/file", key="k"))
    assert (again.id, again.offset) == (first, 60)
    assert desk.uploads.create(BO, NewUpload(length=100, destination="lab:/file", key="k")).id != first
    refused(lambda: desk.new(101, key="k"), 422, "idempotency-key-reused")


def test_so_many_uploads_and_no_more(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk("uploads_open = 2")
    first = desk.new(1, "lab:/1")
    desk.new(1, "lab:/2")
    refused(lambda: desk.new(1, "lab:/3"), 429, "too-many-uploads")
    desk.uploads.create(BO, NewUpload(destination="lab:/3"))
    desk.send(first, b"x")
    assert desk.new(1, "lab:/3")


def test_an_empty_file_is_complete_at_once(desk: Desk) -> None:
    status = desk.uploads.create(ADA, NewUpload(length=0, destination="lab:/empty"))
    assert (status.complete, status.offset) == (True, 0)
    assert desk.file(status.id).state == FileState.QUEUED
    assert list(desk.parts.source.read(status.id)) == []
    assert desk.parts.source.stat(status.id).digests == {"crc64nvme": "0" * 16}


# --- append ----------------------------------------------------------------------------------------------------------


def test_what_is_told_is_durable_and_goes_on_after_a_restart(desk: Desk) -> None:
    id = desk.new(len(DATA))
    assert desk.send(id, DATA[:1000]).offset == 1000
    desk.check(id)
    desk.restart()
    assert desk.offset(id) == 1000
    status = desk.send(id, DATA[1000:], 1000)
    assert status.complete
    desk.check(id)
    assert desk.file(id).state == FileState.QUEUED
    assert b"".join(map(bytes, desk.parts.source.read(id))) == DATA
    assert desk.parts.source.stat(id).digests == {"crc64nvme": f"{checksums.crc64nvme(DATA):016x}"}
    assert desk.events()[-2:] == ["upload.received", "file.received"]


def test_an_abort_keeps_what_came(desk: Desk) -> None:
    id = desk.new(len(DATA))
    writer = desk.open(id, 0)
    writer.write([DATA[:10], DATA[10:30]])
    writer.write([DATA[30:40]])
    assert writer.abort().offset == 40
    assert writer.abort().offset == 40
    desk.check(id)
    assert desk.events()[-1] == "upload.cut"
    assert desk.send(id, DATA[40:], 40).complete


def test_an_abort_behind_the_last_byte_completes(desk: Desk) -> None:
    id = desk.new(len(DATA))
    writer = desk.open(id, 0)
    writer.write([DATA])
    assert writer.abort().complete


def test_offsets_that_lie(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA[:10])
    for offset in (0, 9, 11, len(DATA)):
        problem = refused(lambda offset=offset: desk.open(id, offset), 409, "offset-mismatch")  # type: ignore[misc]
        assert isinstance(problem, OffsetMismatch)
        assert problem.upload.offset == 10
    assert desk.send(id, DATA[10:], 10).complete
    assert desk.send(id, b"", len(DATA)).complete  # a repeated end is no error in tus
    refused(lambda: desk.open(id, len(DATA), ends=True), 400, "completed-upload")


@pytest.mark.parametrize("announced", [len(DATA) + 1, None])
def test_overlong_bodies(desk: Desk, announced: int | None) -> None:
    id = desk.new(len(DATA))
    if announced is not None:
        refused(lambda: desk.open(id, 0, size=announced), 413, "upload-too-long")
        return
    writer = desk.open(id, 0)
    writer.write([DATA[:-1]])
    refused(lambda: writer.write([b"xy"]), 413, "upload-too-long")
    assert writer.abort().offset == len(DATA) - 1
    desk.check(id)


def test_a_length_that_is_said_later(desk: Desk) -> None:
    id = desk.new(None)
    assert desk.send(id, DATA[:10]).length is None
    refused(lambda: desk.open(id, 10, length=9), 400, "inconsistent-upload-length")
    refused(lambda: desk.open(id, 10, length=11 << 30), 413, "too-large")
    assert desk.send(id, DATA[10:20], 10, length=len(DATA)).length == len(DATA)
    refused(lambda: desk.open(id, 20, length=len(DATA) + 1), 400, "inconsistent-upload-length")
    assert desk.send(id, DATA[20:], 20, length=len(DATA)).complete


def test_an_end_that_is_said_by_the_request(desk: Desk) -> None:
    id = desk.new(None)
    assert not desk.send(id, DATA[:10], ends=False).complete
    status = desk.send(id, DATA[10:], 10, ends=True)
    assert (status.complete, status.length) == (True, len(DATA))
    known = desk.new(20, "lab:/other")
    refused(lambda: desk.open(known, 0, size=10, ends=True), 400, "inconsistent-upload-length")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
def test_a_checksum_of_one_request(desk: Desk, algorithm: str) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA[:100])
    good = hashlib.new(algorithm, DATA[100:200]).digest()
    refused(lambda: desk.send(id, DATA[101:201], 100, checksum=(algorithm, good)), 460, "checksum-mismatch")
    assert desk.offset(id) == 100
    assert desk.path(id).read_bytes() == DATA[:100]
    assert desk.parts.staging.used() == 100
    desk.check(id)
    assert desk.send(id, DATA[100:200], 100, checksum=(algorithm, good)).offset == 200
    desk.check(id)


def test_a_cut_request_with_a_checksum_keeps_nothing(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA[:100])
    writer = desk.open(id, 100, checksum=("sha1", b"x" * 20))
    writer.write([DATA[100:200]])
    assert desk.parts.source.arrived(id) == 100  # nobody reads what may still be dropped
    assert writer.abort().offset == 100
    desk.check(id)


@pytest.mark.parametrize("restart", [False, True])
def test_the_promised_digest_of_the_whole(desk: Desk, restart: bool) -> None:
    id = desk.new(len(DATA), digests={"sha-256": SHA, "blake3": "0" * 64})
    right = desk.new(len(DATA), "lab:/right", digests={"sha-256": SHA})
    for name in (id, right):
        desk.send(name, DATA[:1000])
    if restart:
        desk.restart()
    assert desk.send(right, DATA[1000:], 1000).complete
    refused(lambda: desk.send(id, DATA[1000:], 1000), 422, "digest-mismatch")
    view = desk.uploads.show(ADA, id)
    assert view.state is UploadState.FAILED
    assert view.cause is not None and view.cause.code == "digest-mismatch"
    refused(lambda: desk.uploads.status(ADA, id), 410, "upload-gone")
    desk.uploads.sweep()
    assert not desk.path(id).exists()
    assert desk.path(right).exists()


# --- one writer ------------------------------------------------------------------------------------------------------


def test_a_newer_request_preempts_the_older(desk: Desk) -> None:
    id = desk.new(len(DATA))
    old = desk.open(id, 0)
    told = threading.Event()
    old.on_preempt = lambda: (told.set(), old.abort())[0]  # type: ignore[func-returns-value]
    old.write([DATA[:50]])
    assert desk.offset(id) == 50
    assert told.is_set()
    with pytest.raises(Preempted):
        old.write([b"late"])
    with pytest.raises(Preempted):
        old.finish()
    assert desk.send(id, DATA[50:], 50).complete
    desk.check(id)


def test_one_that_does_not_answer_is_ended_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.gateway_api.uploads.writer.GRACE", timedelta(milliseconds=50))
    id = desk.new(len(DATA))
    old = desk.open(id, 0)
    old.write([DATA[:50]])
    refused(lambda: desk.open(id, 0), 409, "offset-mismatch")
    assert old.abort().offset == 50
    desk.check(id)


def test_many_at_once_never_harm_the_upload(desk: Desk) -> None:
    """Requests that preempt each other, each sending what it believes is missing: the file is whole in the end."""
    id = desk.new(len(DATA))
    unexpected: list[BaseException] = []

    def send() -> None:
        for _ in range(200):
            try:
                status = desk.uploads.status(ADA, id)
                if status.complete:
                    return
                writer = desk.open(id, status.offset)
                writer.on_preempt = lambda writer=writer: writer.abort()  # type: ignore[misc]
                for start in range(status.offset, min(status.offset + 1000, len(DATA)), 100):
                    writer.write([DATA[start : start + 100]])
                writer.finish()
            except Preempted:
                continue
            except Problem as problem:
                if problem.status not in (409, 423):
                    unexpected.append(problem)
            except BaseException as error:
                unexpected.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    offset = desk.offset(id)
    assert desk.send(id, DATA[offset:], offset).complete
    assert desk.path(id).read_bytes() == DATA
    desk.check(id)
    assert desk.parts.staging.used() == len(DATA)


# --- quota -----------------------------------------------------------------------------------------------------------


def test_the_quota_is_taken_only_by_bytes_that_come(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk("staging_quota = 10000")
    first, second = desk.new(8000, "lab:/1"), desk.new(8000, "lab:/2")
    desk.send(first, DATA[:8000])
    writer = desk.open(second, 0)
    assert writer.has_room(2000)
    writer.write([DATA[:2000]])
    assert not writer.has_room(1)
    with pytest.raises(NoSpace):
        writer.write([b"x"])
    assert writer.abort().offset == 2000
    assert desk.parts.staging.used() == 10_000
    desk.uploads.terminate(ADA, first)
    assert desk.send(second, DATA[2000:8000], 2000).complete
    desk.check(second)


def test_what_came_is_recorded_when_the_quota_presses(make_desk: Callable[..., Desk]) -> None:
    """So that it may make way as soon as it has reached its storage: else a long request would wait for itself."""
    desk = make_desk("staging_quota = 10000")
    id = desk.new(10_000)
    writer = desk.open(id, 0)
    writer.write([DATA[:9000]])
    assert desk.row(id).received == 0
    assert not writer.has_room(1001)
    end = time.monotonic() + 120
    while desk.row(id).received != 9000:
        assert time.monotonic() < end
        time.sleep(0.01)
    writer.abort()
    desk.check(id)


def test_writers_that_race_never_exceed_the_quota(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk("staging_quota = 10000")
    writers = [desk.open(desk.new(8000, f"lab:/{n}"), 0) for n in range(8)]
    most = [0]

    def send(writer: Any) -> None:
        for _ in range(80):
            if writer.has_room(100):
                writer.write([b"x" * 100])
            most.append(desk.parts.staging.used())
        writer.abort()

    threads = [threading.Thread(target=send, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sizes = sum(path.stat().st_size for path in desk.parts.staging.folder.iterdir())
    assert max(most) <= 10_000
    assert 8000 <= sizes == desk.parts.staging.used()


# --- the end ---------------------------------------------------------------------------------------------------------


def test_termination(desk: Desk) -> None:
    id = desk.new(len(DATA))
    writer = desk.open(id, 0)
    writer.on_preempt = writer.abort
    writer.write([DATA[:100]])
    desk.uploads.terminate(ADA, id)
    assert not desk.path(id).exists()
    assert desk.parts.staging.used() == 0
    assert desk.file(id).state == FileState.CANCELLED
    assert desk.uploads.show(ADA, id).state is UploadState.CANCELLED
    assert "upload.terminated" in desk.events()
    for call in (lambda: desk.offset(id), lambda: desk.open(id, 100), lambda: desk.uploads.terminate(ADA, id)):
        refused(call, 410, "upload-gone")


def test_what_was_ended_in_the_moment_in_which_it_was_stored_is_told_as_done(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA)
    desk.change_file(id, state=FileState.COPYING)
    desk.uploads.terminate(ADA, id)
    assert (desk.file(id).state, desk.uploads.show(ADA, id).state) == (FileState.CANCELLING, UploadState.CANCELLED)
    desk.change_file(id, state=FileState.DONE)
    desk.uploads.sweep()
    assert (desk.row(id).end, desk.uploads.show(ADA, id).state) == ("done", UploadState.DONE)
    assert (desk.offset(id), desk.path(id).exists()) == (len(DATA), False)


def test_an_upload_whose_transfer_was_cancelled_is_gone(desk: Desk) -> None:
    id = desk.new(len(DATA))
    writer = desk.open(id, 0)
    writer.write([DATA[:100]])
    desk.change_file(id, state=FileState.CANCELLED)
    refused(writer.finish, 410, "upload-gone")
    desk.uploads.sweep()
    assert not desk.path(id).exists()
    refused(lambda: desk.offset(id), 410, "upload-gone")


def test_who_does_not_come_back_is_given_up(desk: Desk) -> None:
    id, running = desk.new(len(DATA)), desk.new(len(DATA), "lab:/running")
    desk.send(id, DATA[:100])
    writer = desk.open(running, 0)
    for name in (id, running):
        desk.change(name, expires=1.0)
    desk.uploads.sweep()
    assert not desk.path(id).exists()
    refused(lambda: desk.offset(id), 410, "upload-expired")
    assert desk.uploads.show(ADA, id).state is UploadState.EXPIRED
    assert (desk.file(id).state, desk.row(running).end) == (FileState.FAILED, None)
    writer.write([DATA])
    assert writer.finish().complete
    assert "upload.expired" in desk.events()


def test_who_could_not_come_back_because_the_gateway_was_away_gets_an_hour(desk: Desk) -> None:
    id, running = desk.new(len(DATA)), desk.new(len(DATA), "lab:/running")
    desk.send(id, DATA[:100])
    desk.change(id, expires=1.0)
    before, now = desk.row(running).expires, time.time()
    desk.restart().sweep()
    assert now + 3500 < desk.row(id).expires < time.time() + 3700
    assert desk.row(running).expires == before
    assert desk.send(id, DATA[100:], 100).complete


def test_what_has_reached_its_storage_is_removed(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA)
    desk.uploads.sweep()
    assert desk.path(id).exists()
    desk.change_file(id, state=FileState.DONE)
    desk.uploads.sweep()
    assert not desk.path(id).exists()
    assert (desk.row(id).end, desk.uploads.show(ADA, id).state) == ("done", UploadState.DONE)
    status = desk.uploads.status(ADA, id)  # a client that asks late still learns that all is well
    assert (status.offset, status.complete) == (len(DATA), True)


def test_strangers_files_are_swept(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.send(id, DATA[:10])
    (desk.parts.staging.folder / ("f" * 32)).write_bytes(b"orphan")
    desk.restart()
    desk.uploads.sweep()
    assert [path.name for path in desk.parts.staging.folder.iterdir()] == [id]


def test_foreign_uploads_do_not_exist(desk: Desk) -> None:
    id = desk.new(len(DATA))
    for call in (
        lambda: desk.uploads.status(BO, id),
        lambda: desk.uploads.show(BO, id),
        lambda: desk.uploads.terminate(BO, id),
        lambda: desk.uploads.open(BO, id, Append(0)),
    ):
        refused(call, 404, "not-found")
    assert desk.uploads.list(BO, after=None, limit=10).items == []
    assert [item.id for item in desk.uploads.list(ROOT, after=None, limit=10).items] == [id]
    assert desk.uploads.show(ROOT, id).owner == "ada"


def test_pages(desk: Desk) -> None:
    ids = [desk.new(1, f"lab:/{n}") for n in range(5)]
    first = desk.uploads.list(ADA, after=None, limit=3)
    rest = desk.uploads.list(ADA, after=first.next, limit=3)
    assert [item.id for item in (*first.items, *rest.items)] == ids[::-1]
    assert rest.next is None


def test_an_upload_at_another_gateway(make_desk: Callable[..., Desk]) -> None:
    here, there = make_desk(), make_desk(folder="other")
    id = there.new(len(DATA))
    assert here.parts.name != there.parts.name
    for call in (lambda: here.offset(id), lambda: here.open(id, 0), lambda: here.uploads.terminate(ADA, id)):
        assert refused(call, 503, "upload-elsewhere").retry_after
    assert here.uploads.show(ADA, id).state is UploadState.RECEIVING
    here.uploads.sweep()
    assert there.send(id, DATA).complete


# --- parts and folders -----------------------------------------------------------------------------------------------


def parts_of(desk: Desk, *pieces: bytes) -> list[str]:
    ids = [desk.uploads.create(ADA, NewUpload(kind=Kind.PARTIAL, length=len(piece))).id for piece in pieces]
    for id, piece in zip(ids, pieces, strict=True):
        if piece:
            desk.send(id, piece)
    return ids


def final(desk: Desk, parts: list[str], actor: Any = ADA, **options: Any) -> Any:
    new = NewUpload(kind=Kind.FINAL, destination="lab:/whole", parts=tuple(parts), **options)
    return desk.uploads.create(actor, new)


def test_parts_are_put_together_without_copying(desk: Desk) -> None:
    parts = parts_of(desk, DATA[:100], b"", DATA[100:5000], DATA[5000:])
    used = desk.parts.staging.used()
    whole = final(desk, parts, digests={"sha-256": SHA})
    assert (whole.complete, whole.length, whole.parts) == (True, len(DATA), tuple(parts))
    assert desk.parts.staging.used() == used
    assert b"".join(map(bytes, desk.parts.source.read(whole.id))) == DATA
    assert b"".join(map(bytes, desk.parts.source.read(whole.id, 90, 5000))) == DATA[90:5090]
    assert desk.parts.source.stat(whole.id).digests == {"crc64nvme": f"{checksums.crc64nvme(DATA):016x}"}
    assert desk.file(whole.id).state == FileState.QUEUED
    assert final(desk, parts, digests={"sha-256": SHA}).id == whole.id  # the answer was lost, the client asks again
    refused(lambda: desk.open(whole.id, 0), 403, "upload-final")
    refused(lambda: desk.uploads.terminate(ADA, parts[0]), 409, "part-used")
    desk.change(parts[0], expires=1.0)
    desk.uploads.sweep()
    assert desk.path(parts[0]).exists()
    desk.change_file(whole.id, state=FileState.DONE)
    desk.uploads.sweep()
    assert list(desk.parts.staging.folder.iterdir()) == []
    assert desk.uploads.show(ADA, parts[0]).state is UploadState.DONE


def test_parts_that_cannot_be_used(desk: Desk) -> None:
    mine, other = parts_of(desk, b"mine", b"more")
    bos = desk.uploads.create(BO, NewUpload(kind=Kind.PARTIAL, length=0)).id
    half = desk.uploads.create(ADA, NewUpload(kind=Kind.PARTIAL, length=10)).id
    refused(lambda: final(desk, [mine, bos]), 404, "not-found")
    refused(lambda: final(desk, [mine, desk.new(0)]), 404, "not-found")
    refused(lambda: final(desk, [mine, half]), 409, "part-incomplete")
    refused(lambda: final(desk, [mine, other], digests={"sha-256": SHA}), 422, "digest-mismatch")
    assert final(desk, [mine])
    refused(lambda: final(desk, [mine, other]), 409, "part-used")
    desk.uploads.terminate(ADA, half)
    refused(lambda: final(desk, [other, half]), 410, "upload-gone")
    desk.change(other, expires=1.0)
    desk.uploads.sweep()
    refused(lambda: final(desk, [other]), 410, "upload-expired")


def manifest(*paths: str, size: int = 3, **options: Any) -> FolderToSend:
    return FolderToSend(destination="lab:/run/", files=[{"path": path, "size": size} for path in paths], **options)  # type: ignore[list-item]


def test_a_folder_is_one_transfer(desk: Desk) -> None:
    answer = desk.uploads.create_folder(ADA, manifest("a.txt", "sub/b.txt", label="run"), "k")
    assert [item.destination for item in answer.uploads] == ["lab:/run/a.txt", "lab:/run/sub/b.txt"]
    assert {item.transfer for item in answer.uploads} == {answer.transfer.id}
    assert (answer.transfer.label, answer.transfer.bytes_total, answer.replayed) == ("run", 6, False)
    again = desk.uploads.create_folder(ADA, manifest("a.txt", "sub/b.txt", label="run"), "k")
    assert again.replayed
    assert [item.id for item in again.uploads] == [item.id for item in answer.uploads]
    assert desk.send(answer.uploads[1].id, b"abc").complete


@pytest.mark.parametrize(
    ("paths", "pointers"),
    [
        (["a", "b", "a"], ["/files/2/path"]),
        (["a", "a/b"], ["/files/1/path"]),
        (["a/b/c", "a/b"], ["/files/0/path"]),
        (["../x", "ok", "/abs", "x//y", "x/", "", "./x", "n\0l"],
         ["/files/0/path", "/files/2/path", "/files/3/path", "/files/4/path", "/files/5/path", "/files/6/path",
          "/files/7/path"]),
    ],
)  # fmt: skip
def test_manifests_that_cannot_be_taken(desk: Desk, paths: list[str], pointers: list[str]) -> None:
    problem = refused(lambda: desk.uploads.create_folder(ADA, manifest(*paths), None), 422, "invalid-manifest")
    assert problem.errors is not None
    assert sorted(error["pointer"] for error in problem.errors) == pointers
    assert (desk.count(upload), desk.count(transfer)) == (0, 0)


def test_a_large_manifest(desk: Desk) -> None:
    answer = desk.uploads.create_folder(ADA, manifest(*(f"d{n % 10}/{n}" for n in range(3000))), None)
    assert len({item.id for item in answer.uploads}) == 3000
    assert answer.transfer.files.waiting == 3000
    assert not any(desk.parts.staging.folder.iterdir())


def test_deadlines_begin_with_the_last_byte(desk: Desk) -> None:
    id = desk.new(len(DATA))
    desk.database.write(lambda connection: connection.execute(update(transfer).values(deadline=1.0)))
    desk.send(id, DATA)
    view = desk.uploads.show(ADA, id)
    assert desk.transfers.get(str(view.transfer), None).deadline > datetime.now(UTC)
