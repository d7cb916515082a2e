"""The room for uploads, shared by senders who together want more than there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import FileState
from scigate.gateway_api.uploads.flowing import PIECE, Flow, flow
from scigate.gateway_api.uploads.senders import ACTIVE, Demand
from scigate.gateway_api.uploads.staging import AGAIN, Staging
from scigate.storage_backends.backend import Limits, MiB

from .conftest import ADA, Desk

S3 = """
[storages.far]
type = "s3"
endpoint = "http://127.0.0.1:9"
bucket = "bucket"
access_key = "a"
secret_key = { env = "FAR" }
"""
LENGTH = 10_000


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR", "s")


def moved(desk: Desk, id: str) -> None:
    """What the engine does with a whole upload."""
    desk.change_file(id, state=FileState.DONE)
    desk.uploads.sweep()


def test_senders_who_together_fill_the_room_do_not_wait_for_each_other(make_desk: Callable[..., Desk]) -> None:
    """Three times ten where there is room for twelve, all of them sending at the same time."""
    desk = make_desk("staging_quota = 12000")
    ids = [desk.new(LENGTH, f"lab:/{number}") for number in range(3)]
    writers = {id: desk.open(id, 0) for id in ids}
    refused = 0
    while writers:
        for id, writer in list(writers.items()):
            if not writer.has_room(1000):
                refused += 1
                assert refused < 1000, "they wait for each other"
                continue
            writer.write([b"x" * 1000])
            if writer.offset == LENGTH:
                assert writer.finish().complete
                del writers[id]
                moved(desk, id)
    assert refused
    assert desk.parts.staging.used() == 0


def test_nothing_is_lost_when_senders_come_back(make_desk: Callable[..., Desk]) -> None:
    """The same with requests that are told to come again, each with what it has."""
    desk = make_desk("staging_quota = 12000")
    waiting = {desk.new(LENGTH, f"lab:/{number}"): 0 for number in range(3)}
    rounds = 0
    while waiting:
        rounds += 1
        assert rounds < 100, "they wait for each other"
        for id, offset in list(waiting.items()):
            writer = desk.open(id, offset)
            for _ in range(3):
                if writer.offset < LENGTH and writer.has_room(1000):
                    writer.write([b"x" * 1000])
            status = writer.abort()
            assert status.offset >= offset
            waiting[id] = status.offset
            if status.complete:
                del waiting[id]
                moved(desk, id)


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def staging(tmp_path: Path, clock: list[float]) -> Staging:
    """Room for 12 bytes."""
    made = Staging(tmp_path / "staging", 12, lambda: clock[0])
    made.prepare()
    return made


def test_who_does_not_go_on_holds_what_he_has_and_nothing_more(staging: Staging, clock: list[float]) -> None:
    assert staging.take("gone", 2, Demand(10))
    staging.leave("gone", 0, Demand(8))
    assert staging.take("b", 2, Demand(10))  # 8 are free: each of them can be completed
    assert not staging.take("c", 1, Demand(10))
    clock[0] += ACTIVE.total_seconds() + 1
    assert staging.take("b", 1, Demand(8))  # it can be completed with what is free
    assert not staging.take("c", 1, Demand(10))
    assert staging.take("b", 7, Demand(7))


def test_who_comes_back_goes_on(staging: Staging, clock: list[float]) -> None:
    assert staging.take("a", 8, Demand(10))
    staging.leave("a", 0, Demand(2))
    clock[0] += 10 * ACTIVE.total_seconds()
    assert not staging.take("b", 1, Demand(10))  # 4 are free
    assert staging.take("a", 2, Demand(2))
    staging.leave("a", 0, Demand(0))
    assert staging.take("b", 1, Demand(10))  # a is whole and moves on


def test_a_part_that_others_are_missing_for_gives_nothing_back(staging: Staging) -> None:
    assert staging.take("part", 5, Demand(6, returns=False))
    assert not staging.take("b", 1, Demand(10))
    assert staging.take("c", 6, Demand(6))
    staging.remove("c")
    assert staging.take("part", 1, Demand(1, returns=False))


def test_what_flows_on_needs_less(staging: Staging) -> None:
    assert staging.take("a", 6, Demand(6))
    assert not staging.take("whole", 1, Demand(100))
    assert staging.take("b", 1, Demand(100, most=5))
    assert staging.take("b", 5, Demand(99, most=5))


def test_a_no_is_not_asked_again_before_something_comes_free(staging: Staging, clock: list[float]) -> None:
    assert staging.take("a", 6, Demand(6))
    assert not staging.take("b", 1, Demand(13))
    assert not staging.take("b", 1, Demand(1))
    clock[0] += AGAIN
    assert staging.take("b", 1, Demand(1))
    assert not staging.take("c", 1, Demand(13))
    staging.give("a", 1)
    assert staging.take("c", 1, Demand(1))


# --- bytes under one checksum ----------------------------------------------------------------------------------------


def test_how_uploads_flow() -> None:
    limits = Limits(block_preferred=16 * MiB)
    assert flow(100 * MiB, limits, 200 * MiB) == Flow(25 * MiB + 16 * MiB + PIECE, 100 * MiB - 49 * MiB)
    assert flow(100 * MiB, limits, 90 * MiB) == Flow(49 * MiB)
    assert flow(32 * MiB, limits, 90 * MiB) is None
    assert flow(100 * MiB, limits, MiB) is None
    assert flow(100 * MiB, Limits(drafts_readable=True), 200 * MiB) is None
    assert flow(100 * MiB, Limits(largest=1), 200 * MiB) is None


def test_a_checksum_over_more_than_there_is_room_for_is_refused_at_once(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk('staging_quota = "100 MiB"' + S3)
    id = desk.new(200 * MiB, "far:/large")
    checksum = ("crc64nvme", bytes(8))
    with pytest.raises(Problem) as raised:
        desk.open(id, 0, size=60 * MiB, checksum=checksum)
    assert (raised.value.status, raised.value.code) == (413, "request-too-large")
    assert "smaller" in raised.value.next_step
    desk.open(id, 0, size=51 * MiB, checksum=checksum).abort()
    desk.open(id, 0, size=200 * MiB).abort()
    chunked = desk.open(id, 0, checksum=checksum)
    for _ in range(51):
        chunked.write([bytes(MiB)])
    with pytest.raises(Problem) as raised:
        chunked.write([bytes(MiB)])
    assert raised.value.code == "request-too-large"
    assert chunked.abort().offset == 0
    assert desk.parts.staging.used() == 0


def test_what_can_neither_be_here_nor_flow_is_refused_when_it_is_created(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk('staging_quota = "30 MiB"' + S3)
    with pytest.raises(Problem) as raised:
        desk.new(200 * MiB, "far:/large")
    assert (raised.value.status, raised.value.code) == (413, "too-large")
    desk.new(30 * MiB, "far:/fits")


# --- what ends while it is sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ended", "code"), [("CANCELLED", "upload-gone"), ("FAILED", "upload-failed")])
def test_a_sender_is_told_at_its_next_piece(desk: Desk, ended: str, code: str) -> None:
    id = desk.new(1000)
    writer = desk.open(id, 0)
    writer.write([b"x" * 10])
    desk.uploads.watch()
    cause = '{"code": "c", "message": "m", "retriable": false, "next_step": "n"}'
    desk.change_file(id, state=FileState(ended), cause=cause, finished=time.time())
    look(desk)
    assert writer.has_room(1 << 40)  # nobody waits for room any more
    with pytest.raises(Problem) as raised:
        writer.write([b"x"])
    assert raised.value.code == code
    writer.abort()
    look(desk)
    assert desk.path(id).exists() is (ended == "FAILED")  # that one may be retried


def test_an_upload_that_is_still_moved_goes_when_its_mover_has_ended(desk: Desk) -> None:
    id = desk.new(1000)
    writer = desk.open(id, 0)
    writer.write([b"x" * 10])
    assert writer.abort().offset == 10
    desk.change_file(id, state=FileState.COPYING)
    desk.uploads.terminate(ADA, id)
    assert desk.file(id).state == FileState.CANCELLING
    assert desk.row(id).ended is None
    look(desk)
    assert desk.row(id).ended is None
    assert desk.path(id).exists()
    desk.change_file(id, state=FileState.CANCELLED)
    look(desk)
    assert desk.row(id).ended is not None
    assert not desk.path(id).exists()


def look(desk: Desk) -> None:
    """As the engine does in every round, after a while."""
    desk.uploads._watch._looked = float("-inf")
    desk.uploads.watch()
