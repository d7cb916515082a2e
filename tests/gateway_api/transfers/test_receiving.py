"""Uploads on their way to a storage while they still arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from scigate.gateway_api.db.schema import block, transfer, upload
from scigate.gateway_api.resources import FileState, Overwrite, Proof, TransferState
from scigate.gateway_api.transfers import receiving
from scigate.gateway_api.transfers.scheduler import upload_slots
from scigate.gateway_api.transfers.wishes import Wish
from scigate.gateway_api.uploads.staging import Staging
from scigate.gateway_api.uploads.window import Window
from scigate.storage_backends.backend import MiB
from sqlalchemy import func, select, update

Lab = Any  # from conftest.py
Noise = Callable[[int, int], bytes]
BLOCK = 12 * MiB
HALF = 15 * MiB


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders are waited for as ever, only not for long, and less of them is worth an attempt."""
    monkeypatch.setattr("scigate.gateway_api.transfers.planner.STEP", BLOCK // 2)
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 0.3)
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SLICE", timedelta(milliseconds=50))


@pytest.fixture(scope="module")
def data(noise: Noise) -> bytes:
    """An upload of 30 MiB: three blocks, the last of them short."""
    return noise(3 * MiB, 3) * 10


def blocks(lab: Lab) -> int:
    with lab.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(block)).scalar_one())


def state(lab: Lab, id: str) -> FileState:
    found: FileState = lab.file(id).state
    return found


def is_waiting(lab: Lab, id: str) -> bool:
    found = lab.file(id)
    return found.state is FileState.WAITING and found.cause is not None and found.cause.code == "receiving"


def test_an_upload_waits_for_its_sender_from_the_first_moment(lab: Lab) -> None:
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", 1000)
    found, its = lab.file(id), lab.store.get(id, None)
    assert (found.state, found.size, found.source) == (FileState.WAITING, 1000, "upload:run.dat")
    assert (its.state, its.bytes_total, its.cause.code) == (TransferState.WAITING, 1000, "receiving")
    sender.send("u1", b"x" * 1000)
    sender.complete("u1")
    done = lab.wait(id)
    assert (done.state, done.proof, done.cause) == (TransferState.DONE, Proof.A, None)
    assert lab.types(id)[0] == "received"
    assert (lab.folder / "out" / "run.dat").read_bytes() == b"x" * 1000


def test_blocks_reach_the_storage_before_the_last_byte_has_come(any_lab: Lab, data: bytes) -> None:
    lab = any_lab
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: blocks(lab) == 1)
    assert lab.file(id).bytes_done == BLOCK
    assert not (lab.folder / "out" / "run.dat").exists()
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    done = lab.wait(id)
    assert (done.state, done.proof) == (TransferState.DONE, Proof.A)
    assert (lab.folder / "out" / "run.dat").read_bytes() == data


class Hurry:
    """A sender who is held up by us: after this was seen for a while the time that pressure fades in stands still."""

    def __init__(self, lab: Lab, id: str) -> None:
        self._arrivals, self._clock, now = lab.sender.arrivals, lab.sender.arrivals._clock, time.monotonic()
        for number in range(100):
            self._arrivals._clock = lambda seen=now - 1 + number / 100: seen
            self._arrivals.looked(id, True)
        assert self._arrivals.is_pressing(id)

    def end(self) -> None:
        self._arrivals._clock = self._clock


@pytest.fixture
def hurry() -> Iterator[Callable[[Lab, str], Hurry]]:
    begun: list[Hurry] = []

    def begin(lab: Lab, id: str) -> Hurry:
        begun.append(Hurry(lab, id))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


Hurried = Callable[[Lab, str], Hurry]


def test_a_sender_who_is_held_up_by_us_has_the_right_of_way(lab: Lab, data: bytes, hurry: Hurried) -> None:
    lab.posix("out")
    sender = lab.uploads()
    engine = lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    hurry(lab, "u1")
    sender.send("u1", data)
    time.sleep(0.5)  # several looks of the engine
    assert (lab.types(id), engine.active(), blocks(lab)) == ([], 0, 0)
    sender.complete("u1")  # it presses no more, whatever was seen before
    done = lab.wait(id)
    assert (done.state, done.proof) == (TransferState.DONE, Proof.A)
    assert (lab.folder / "out" / "run.dat").read_bytes() == data


def test_bytes_flow_on_when_the_pressure_ends_even_if_no_more_come(lab: Lab, data: bytes, hurry: Hurried) -> None:
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    hurried = hurry(lab, "u1")
    sender.send("u1", data[:HALF])
    time.sleep(0.3)
    assert blocks(lab) == 0
    hurried.end()
    lab.until(lambda: blocks(lab) == 1)
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE


def test_a_mover_that_gives_way_for_long_gives_its_slot_back(any_lab: Lab, data: bytes, hurry: Hurried) -> None:
    lab = any_lab
    lab.posix("out")
    sender = lab.uploads()
    engine = lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: blocks(lab) == 1)
    hurried = hurry(lab, "u1")
    sender.send("u1", data[HALF:])
    lab.until(lambda: is_waiting(lab, id) and engine.active() == 0)
    time.sleep(0.3)
    assert (state(lab, id), engine.active()) == (FileState.WAITING, 0)
    before = blocks(lab)
    assert before < 3
    hurried.end()
    lab.until(lambda: blocks(lab) == 3)
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE
    assert (lab.folder / "out" / "run.dat").read_bytes() == data
    assert lab.meters["out"].totals()["write"].bytes == len(data)  # nothing was sent twice
    assert "failure" not in lab.types(id)


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.CANCEL])
def test_a_mover_that_gives_way_can_be_stopped(
    lab: Lab, data: bytes, hurry: Hurried, wish: Wish, monkeypatch: Any
) -> None:
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 60.0)
    lab.posix("out")
    sender = lab.uploads()
    engine = lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: blocks(lab) == 1)
    hurry(lab, "u1")
    sender.send("u1", data[HALF:])
    lab.store.ask(id, None, wish)
    wanted = FileState.PAUSED if wish is Wish.PAUSE else FileState.CANCELLED
    lab.until(lambda: state(lab, id) is wanted and engine.active() == 0)


def test_nothing_is_published_before_the_sender_s_bytes_are_accepted(lab: Lab, data: bytes) -> None:
    out = lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data)
    lab.until(lambda: blocks(lab) == 3)
    lab.until(lambda: is_waiting(lab, id))
    assert not (out / "run.dat").exists()
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE
    assert lab.file(id).attempts == 2
    assert lab.meters["out"].totals()["write"].bytes == len(data)  # nothing was sent twice


def test_a_sender_that_sleeps_holds_no_slot_and_its_draft_is_gone_on_with(any_lab: Lab, data: bytes) -> None:
    lab = any_lab
    lab.posix("out")
    sender = lab.uploads()
    engine = lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: "starved" in lab.types(id))
    lab.until(lambda: engine.active() == 0)
    found = lab.file(id)
    assert (found.state, found.cause.code, found.bytes_done) == (FileState.WAITING, "receiving", BLOCK)
    assert found.next_try is None  # it is the sender who is waited for
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE
    assert (lab.folder / "out" / "run.dat").read_bytes() == data
    assert lab.meters["out"].totals()["write"].bytes == len(data)
    assert "failure" not in lab.types(id)


def test_little_that_is_new_is_not_worth_an_attempt(lab: Lab, data: bytes) -> None:
    lab.memory("mem")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "mem:/run.dat", len(data))
    for _ in range(15):
        sender.send("u1", data[: BLOCK // 32])
        time.sleep(0.02)
    time.sleep(0.3)  # several looks of the engine
    assert (lab.types(id), state(lab, id)) == ([], FileState.WAITING)


def test_slow_senders_never_keep_other_transfers_waiting(lab: Lab, data: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 60.0)
    (lab.posix("lab") / "f").write_bytes(b"other data")
    lab.posix("out")
    sender = lab.uploads()
    engine = lab.start(uploads=upload_slots(2))
    ids = [sender.announce(f"u{n}", f"out:/run{n}", len(data), owner=f"user{n}") for n in range(3)]
    for n in range(3):
        sender.send(f"u{n}", data[:HALF])
    lab.until(lambda: engine.active() == 2 and sum(state(lab, id) is FileState.QUEUED for id in ids) == 1)
    assert lab.run(("lab:/f", "out:/f")).state is TransferState.DONE
    lab.until(lambda: engine.active() == 2)
    for n in range(3):
        sender.send(f"u{n}", data[HALF:])
        sender.complete(f"u{n}")
    assert [lab.wait(id).state for id in ids] == [TransferState.DONE] * 3


def test_small_uploads_go_in_a_batch_and_are_checked(lab: Lab) -> None:
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    good, bad = (sender.announce(f"u{name}", f"out:/{name}", 1000) for name in ("good", "bad"))
    unknown = sender.announce("uunknown", "out:/unknown", None)
    for name in ("good", "bad", "unknown"):
        sender.send(f"u{name}", name.encode() * 100)
        sender.complete(f"u{name}", "0" * 16 if name == "bad" else None)
    assert lab.wait(good).state is TransferState.DONE
    assert lab.wait(unknown).bytes_total == 700
    lab.until(lambda: "failure" in lab.types(bad))
    assert lab.file(bad).cause.code == "digest-mismatch"
    assert not (lab.folder / "out" / "bad").exists()
    lab.store.ask(bad, None, Wish.CANCEL)


def test_bytes_that_are_not_those_that_were_accepted_are_never_published(lab: Lab, data: bytes) -> None:
    out = lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: blocks(lab) == 1)
    with (sender.folder / "u1").open("r+b") as file:
        file.write(b"changed")  # a power cut took them, and the sender sent others
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    # all blocks are sent again; or, by an attempt that began when it was whole, the one that is wrong
    lab.until(lambda: bool({"failure", "damaged"} & set(lab.types(id))), tell=lambda: lab.tell(id))
    assert lab.wait(id).state is TransferState.DONE
    assert (out / "run.dat").read_bytes() == b"changed" + data[7:]


def test_a_whole_upload_never_waits_for_ever(any_lab: Lab, data: bytes) -> None:
    """Its last byte comes in the moment in which the engine gives up waiting, again and again."""
    lab = any_lab
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    for n in range(6):
        id = sender.announce(f"u{n}", f"out:/{n}", BLOCK)
        sender.send(f"u{n}", data[: BLOCK * 5 // 8])
        lab.until(lambda id=id: "start" in lab.types(id))
        time.sleep(0.27 + 0.02 * n)
        sender.send(f"u{n}", data[BLOCK * 5 // 8 : BLOCK])
        sender.complete(f"u{n}")
        assert lab.wait(id).state is TransferState.DONE


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.CANCEL])
def test_its_owner_can_stop_an_upload_that_waits_or_moves(lab: Lab, data: bytes, wish: Wish, monkeypatch: Any) -> None:
    out = lab.posix("out")
    sender = lab.uploads()
    lab.start()
    after = {Wish.PAUSE: FileState.PAUSED, Wish.CANCEL: FileState.CANCELLED}[wish]
    first = sender.announce("u1", "out:/first", len(data))
    lab.store.ask(first, None, wish)
    assert state(lab, first) is after
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 600.0)
    second = sender.announce("u2", "out:/second", len(data))
    sender.send("u2", data[:HALF])
    lab.until(lambda: state(lab, second) is FileState.COPYING and blocks(lab) == 1)
    lab.store.ask(second, None, wish)
    lab.until(lambda: state(lab, second) is after)
    for n in (1, 2):
        sender.send(f"u{n}", data[len(sender.folder.joinpath(f"u{n}").read_bytes()) :])
        sender.complete(f"u{n}")
    time.sleep(0.3)
    assert (state(lab, first), state(lab, second)) == (after, after)
    if wish is Wish.PAUSE:
        for id in (first, second):
            lab.store.ask(id, None, Wish.RESUME)
            assert lab.wait(id).state is TransferState.DONE
        assert (out / "second").read_bytes() == data
    else:
        assert list(out.iterdir()) == []


@pytest.mark.parametrize("wish", [Wish.RESUME, Wish.RETRY])
def test_nobody_can_hurry_a_sender(lab: Lab, data: bytes, wish: Wish) -> None:
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    lab.store.ask(id, None, wish)
    lab.until(lambda: lab.types(id) == ["resume", "starved"])  # no slot was given to it
    assert is_waiting(lab, id)
    lab.store.ask(id, None, Wish.PAUSE)
    lab.store.ask(id, None, Wish.RESUME)
    lab.until(lambda: is_waiting(lab, id))
    sender.send("u1", data)
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE


def test_a_storage_that_fails_is_tried_again_while_bytes_still_come(lab: Lab, data: bytes) -> None:
    lab.posix("lab")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))  # there is no storage of this name yet
    sender.send("u1", data[:HALF])
    lab.until(lambda: state(lab, id) is FileState.FAILED)
    out = lab.posix("out")
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    time.sleep(0.2)
    assert state(lab, id) is FileState.FAILED
    lab.store.ask(id, None, Wish.RETRY)
    assert lab.wait(id).state is TransferState.DONE
    assert (out / "run.dat").read_bytes() == data


def test_an_upload_can_be_terminated_in_every_state(any_lab: Lab, data: bytes, monkeypatch: Any) -> None:
    lab = any_lab
    out = lab.posix("out")
    (out / "failed").write_bytes(b"there already")
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 600.0)
    sender = lab.uploads()
    ids = {name: sender.announce(name, f"out:/{name}", len(data)) for name in ("waiting", "moving", "failed", "paused")}
    lab.store.ask(ids["paused"], None, Wish.PAUSE)
    lab.start()
    sender.send("moving", data[:HALF])
    sender.send("failed", data[:HALF])
    lab.until(lambda: state(lab, ids["failed"]) is FileState.FAILED and blocks(lab) == 1)
    assert lab.store.get(ids["failed"], None).state is TransferState.FAILED
    found = {name: sender.terminate(name) for name in ids}
    assert found.pop("moving") in (FileState.CANCELLING, FileState.CANCELLED)
    assert set(found.values()) == {FileState.CANCELLED}
    for id in ids.values():
        assert lab.wait(id).state is TransferState.CANCELLED
    lab.until(lambda: [path.name for path in out.iterdir()] == ["failed"])
    assert (out / "failed").read_bytes() == b"there already"


@pytest.mark.parametrize("moment", ["waiting", "moving", "paused"])
def test_an_upload_that_nobody_goes_on_with_expires(lab: Lab, data: bytes, moment: str, monkeypatch: Any) -> None:
    out = lab.posix("out")
    monkeypatch.setattr("scigate.gateway_api.transfers.awaiting.SILENCE", 600.0)
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    if moment == "moving":
        sender.send("u1", data[:HALF])
        lab.until(lambda: blocks(lab) == 1)
    if moment == "paused":
        lab.store.ask(id, None, Wish.PAUSE)
    sender.expire("u1")
    found = lab.file(id)
    assert (found.state, found.cause.code) == (FileState.FAILED, "upload-expired")
    assert lab.wait(id).state is TransferState.FAILED
    lab.until(lambda: list(out.iterdir()) == [])
    if moment == "paused":
        return
    lab.store.ask(id, None, Wish.RETRY)
    lab.until(lambda: state(lab, id) is FileState.FAILED)
    assert lab.file(id).cause.code == "upload-gone"


def test_the_time_for_the_storage_begins_when_the_sender_is_done(lab: Lab) -> None:
    lab.posix("out")
    sender = lab.uploads()
    id = sender.announce("u1", "out:/run.dat", 1000)
    late = update(transfer).where(transfer.c.id == id).values(deadline=time.time() - 60)
    sender.write(late)
    lab.start()
    sender.send("u1", b"x" * 1000)
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE


def test_uploads_on_another_gateway_s_disk_are_left_to_it(any_lab: Lab) -> None:
    lab = any_lab
    lab.posix("out")
    sender = lab.uploads()
    id = sender.announce("u1", "out:/run.dat", 1000)
    sender.send("u1", b"x" * 1000)
    sender.complete("u1")
    lab.sender = None
    lab.start("other")
    time.sleep(0.4)  # several looks
    assert (lab.types(id), state(lab, id)) == (["received"], FileState.QUEUED)
    lab.stop()
    lab.sender = sender
    lab.start("own")
    assert lab.wait(id).state is TransferState.DONE


def test_after_a_restart_the_engine_goes_on_where_it_was(any_lab: Lab, data: bytes) -> None:
    lab = any_lab
    out = lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    lab.until(lambda: blocks(lab) == 1)
    sender.record("u1")
    lab.stop()
    sender = lab.uploads()  # has forgotten what had arrived
    lab.start()
    lab.until(lambda: is_waiting(lab, id))
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    assert lab.wait(id).state is TransferState.DONE
    assert (out / "run.dat").read_bytes() == data
    assert lab.meters["out"].totals()["write"].bytes == len(data)


def test_a_destination_that_exists_is_told_before_all_is_sent(lab: Lab, data: bytes) -> None:
    (lab.posix("out") / "run.dat").write_bytes(b"there already")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data))
    sender.send("u1", data[:HALF])
    assert lab.wait(id).state is TransferState.FAILED
    assert lab.file(id).cause.code == "already-exists"


def test_equal_content_is_skipped_once_all_is_here(lab: Lab, data: bytes) -> None:
    (lab.posix("out") / "run.dat").write_bytes(data)
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", len(data), overwrite=Overwrite.SKIP_SAME)
    sender.send("u1", data[:HALF])
    lab.until(lambda: "starved" in lab.types(id))
    sender.send("u1", data[HALF:])
    sender.complete("u1")
    assert lab.wait(id).files.skipped == 1


def test_what_is_never_here_as_a_whole_is_not_compared(lab: Lab, data: bytes) -> None:
    """It would wait for ever: for bytes that have no room before its first ones have moved on."""
    (lab.posix("out") / "run.dat").write_bytes(data)
    (lab.folder / "out" / "other.dat").write_bytes(b"of another size")
    sender = lab.uploads()
    engine = lab.start()
    room = Staging(sender.folder, len(data) - 1)
    engine._runtime.receiving._window = Window(lab.database, sender.gateway, room, lambda name: False)
    same = sender.announce("u1", "out:/run.dat", len(data), overwrite=Overwrite.SKIP_SAME)
    other = sender.announce("u2", "out:/other.dat", len(data), overwrite=Overwrite.SKIP_SAME)
    sender.send("u1", data[:HALF])
    assert lab.wait(same).state is TransferState.FAILED
    cause = lab.file(same).cause
    assert cause is not None
    assert (cause.code, cause.retriable) == ("too-large", False)
    assert "limits.staging_quota" in cause.message
    assert "overwrite" in cause.next_step
    sender.send("u2", data)
    sender.complete("u2")
    assert lab.wait(other).state is TransferState.DONE


def test_the_records_of_an_upload_name_no_staging_storage(lab: Lab, data: bytes) -> None:
    lab.posix("out")
    sender = lab.uploads()
    lab.start()
    id = sender.announce("u1", "out:/run.dat", 1000)
    sender.send("u1", b"x" * 1000)
    (sender.folder / "u1").unlink()
    (sender.folder / "u1").mkdir()  # the gateway's own disk is broken
    sender.write(update(upload).where(upload.c.id == "u1").values(completed=1.0, received=1000))
    sender.write_of("u1", receiving.received)
    lab.until(lambda: lab.file(id).cause is not None)
    told = f"{lab.store.get(id, None)} {lab.files(id)}"
    assert "'u1'" in lab.file(id).cause.message
    assert "staging" not in told
