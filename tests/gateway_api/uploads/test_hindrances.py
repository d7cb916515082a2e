"""What an upload tells of the room it holds and of what holds it up; and a destination that exists is told at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import FileState, Overwrite, UploadState
from scigate.gateway_api.uploads.staging import StagingFull
from scigate.storage_backends.errors import AlreadyExists, Unreachable

from .conftest import ADA, BO, Desk

DATA = b"x" * 8192
CAUSE = '{"code": "c", "message": "m", "retriable": false, "next_step": "n"}'


def failed(desk: Desk) -> str:
    id = desk.new(len(DATA) + 100, to="lab:/failed")
    writer = desk.open(id, 0)
    writer.write([DATA])
    writer.abort()
    desk.parts.staging.measure(id)
    desk.change_file(id, state=FileState.FAILED, cause=CAUSE, finished=time.time())
    return id


def test_what_a_failed_upload_holds_is_told_and_can_be_freed(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk("staging_quota = 12288")
    id, other = failed(desk), desk.new(100)
    uploads = desk.uploads
    assert uploads.show(ADA, id).held == len(DATA)
    assert [one.id for one in uploads.list(ADA, state=UploadState.FAILED, after=None, limit=10).items] == [id]
    assert [one.id for one in uploads.list(ADA, after=None, limit=1).items] == [other]
    assert f"your own hold {len(DATA)} bytes" in uploads.hint_at_failed(ADA)
    assert "none of yours" in uploads.hint_at_failed(BO)
    with pytest.raises(StagingFull) as full:
        uploads.begin_put(ADA, "lab", "more", 8192, {})
    assert "uploads cancel ID" in full.value.next_step
    assert f"{len(DATA)} bytes" in full.value.next_step
    uploads.terminate(ADA, id)
    assert uploads.show(ADA, id).held == 0
    uploads.begin_put(ADA, "lab", "more", 8192, {}).close()


def test_pages_of_one_state_go_on_where_they_ended(desk: Desk) -> None:
    wanted = [desk.new(100, to=f"lab:/{number}") for number in range(4)]
    for id in wanted[::2]:
        desk.change_file(id, state=FileState.FAILED, cause=CAUSE, finished=time.time())
    first = desk.uploads.list(ADA, state=UploadState.FAILED, after=None, limit=1)
    second = desk.uploads.list(ADA, state=UploadState.FAILED, after=first.next, limit=1)
    assert [one.id for one in (*first.items, *second.items)] == [wanted[2], wanted[0]]
    assert second.next is None


def test_a_cancelled_upload_waits_for_nobody(desk: Desk) -> None:
    id = desk.new(100)
    before = desk.uploads.show(ADA, id)
    assert before.cause is not None
    assert before.expires is not None
    assert before.cause.next_step.endswith(f"the upload is kept until {before.expires:%Y-%m-%d %H:%M} UTC.")
    desk.uploads.terminate(ADA, id)
    after = desk.uploads.show(ADA, id)
    assert (after.state, after.cause, after.expires) == (UploadState.CANCELLED, None, None)
    assert desk.transfers.get(str(after.transfer), "ada").cause is None
    [file] = desk.transfers.files(str(after.transfer), "ada", state=None, after=None, limit=10).items
    assert file.cause is None


def test_what_holds_it_up_is_the_cause_of_its_transfer(desk: Desk) -> None:
    id = desk.new(100)
    transfer = str(desk.uploads.show(ADA, id).transfer)

    def codes() -> list[str]:
        [file] = desk.transfers.files(transfer, "ada", state=None, after=None, limit=10).items
        assert file.next_try is None or file.cause is None or file.cause.code != "receiving"
        told = (desk.transfers.get(transfer, "ada"), file, desk.uploads.show(ADA, id))
        return [one.cause.code if one.cause else "" for one in told]

    assert codes() == ["receiving"] * 3
    desk.parts._arrivals.lacks_room(id)
    assert codes() == ["staging-full"] * 3
    desk.parts._arrivals.grown(id, 10)
    assert codes() == ["receiving"] * 3
    desk.change_file(id, state=FileState.COPYING, cause=None)
    assert codes()[1:] == ["", ""]


def test_a_mover_without_bytes_has_no_rate(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    id = desk.new(100)
    transfer = str(desk.uploads.show(ADA, id).transfer)
    desk.change_file(id, state=FileState.COPYING, cause=None)
    monkeypatch.setattr(desk.transfers.progress, "waits_long", lambda file: True)
    monkeypatch.setattr(desk.transfers.progress, "rate", lambda transfer: 5.0)
    found = desk.transfers.get(transfer, "ada")
    assert found.cause is not None
    assert (found.cause.code, found.rate, found.eta_seconds) == ("receiving", None, None)


def test_a_destination_that_exists_is_told_at_once(desk: Desk) -> None:
    first = desk.new(100, to="lab:/there", key="k")
    (desk.folder / "lab" / "there").write_bytes(b"old")
    with pytest.raises(Problem) as refused:
        desk.new(100, to="lab:/there")
    assert (refused.value.status, refused.value.code) == (409, "already-exists")
    assert refused.value.next_step == AlreadyExists.next_step
    assert desk.new(100, to="lab:/there", key="k") == first
    assert desk.new(100, to="lab:/there", overwrite=Overwrite.OVERWRITE) != first


def test_a_storage_that_cannot_tell_refuses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.folder / "lab" / "there").write_bytes(b"old")
    backend = desk.uploads._storages.get("lab").backend

    def away(path: str) -> None:
        raise Unreachable("no answer")

    monkeypatch.setattr(backend, "stat", away)
    assert desk.new(100, to="lab:/there")
