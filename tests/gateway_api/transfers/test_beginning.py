"""Transfers that begin later: nothing moves before their time, and everything then, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scigate.gateway_api.db.clock import shift
from scigate.gateway_api.db.schema import file, transfer, walk
from scigate.gateway_api.resources import FileState, TransferState
from scigate.gateway_api.transfers.beginning import Beginning
from scigate.gateway_api.transfers.wishes import Wish
from scigate.gateway_api.transfers.work import Work
from scigate.storage_backends.backend import MiB
from sqlalchemy import select, update

Lab = Any  # from conftest.py
FAR = timedelta(days=3)
SOON = timedelta(seconds=1)


def submit(lab: Lab, *, ahead: timedelta = FAR, count: int = 1, **options: Any) -> str:
    pairs = [(f"lab:/f{number}", f"out:/f{number}") for number in range(count)]
    return str(lab.submit(*pairs, not_before=datetime.now(UTC) + ahead, **options))


def claimed(lab: Lab) -> int:
    work = Work(lab.database, "one")
    return sum(len(work.claim(head.lane, 256, 1 << 30)) for head in work.heads())


def let_time_come(lab: Lab, id: str) -> None:
    """As if it had been submitted for a moment ago."""
    past = datetime.now(UTC).timestamp() - 1
    its = select(transfer.c.seq).where(transfer.c.id == id).scalar_subquery()

    def job(connection: Any) -> None:
        connection.execute(update(transfer).where(transfer.c.id == id).values(starts=past))
        waits = (file.c.transfer == its, file.c.state == FileState.WAITING)
        connection.execute(update(file).where(*waits).values(next_try=past))
        connection.execute(update(walk).where(walk.c.transfer == its).values(next_try=past))

    lab.database.write(job)


def begin(lab: Lab) -> None:
    """A round of the engine."""
    Beginning(lab.database).run()
    Work(lab.database, "one").wake()


def test_it_waits_and_says_until_when(any_lab: Lab) -> None:
    when = datetime.now(UTC) + FAR
    found = any_lab.store.get(any_lab.submit(("lab:/f", "out:/f"), not_before=when), None)
    assert (found.state, found.files.waiting, found.files.queued) == (TransferState.WAITING, 1, 0)
    assert found.cause.code == "scheduled"
    assert f"{when:%Y-%m-%d %H:%M:%S} UTC" in found.cause.message
    assert abs(found.not_before - when) < timedelta(milliseconds=1)
    assert abs(found.deadline - when - timedelta(days=7)) < timedelta(minutes=1)
    its = any_lab.file(found.id)
    assert (its.state, its.cause.code) == (FileState.WAITING, "scheduled")
    assert abs(its.next_try - when) < timedelta(milliseconds=1)
    begin(any_lab)
    assert claimed(any_lab) == 0
    assert any_lab.contradictions() == []


def test_a_time_that_has_been_is_now(any_lab: Lab) -> None:
    found = any_lab.store.get(submit(any_lab, ahead=-SOON), None)
    assert (found.state, found.cause) == (TransferState.QUEUED, None)
    assert claimed(any_lab) == 1


def test_when_its_time_comes_it_is_queued_and_the_journal_says_so(any_lab: Lab) -> None:
    id = submit(any_lab, count=3)
    let_time_come(any_lab, id)
    begin(any_lab)
    found = any_lab.store.get(id, None)
    assert (found.state, found.cause, found.files.queued) == (TransferState.QUEUED, None, 3)
    assert {one.cause for one in any_lab.files(id)} == {None}
    types = [event.type for event in any_lab.store.events(id, None, after=0, limit=99).items]
    assert types.count("scigate.transfer.due") == 1
    begin(any_lab)
    assert claimed(any_lab) == 3
    assert any_lab.contradictions() == []


@pytest.mark.parametrize("wishes", [[Wish.RESUME], [Wish.RETRY], [Wish.PAUSE, Wish.RESUME]])
def test_whoever_resumes_or_retries_it_does_not_begin_it(any_lab: Lab, wishes: list[Wish]) -> None:
    id = submit(any_lab, count=3)
    for wish in wishes:
        any_lab.store.ask(id, None, wish)
    begin(any_lab)
    assert claimed(any_lab) == 0
    found = any_lab.store.get(id, None)
    assert (found.state, found.cause.code, found.files.waiting) == (TransferState.WAITING, "scheduled", 3)
    let_time_come(any_lab, id)
    begin(any_lab)
    assert claimed(any_lab) == 3
    assert any_lab.contradictions() == []


def test_a_file_that_got_into_the_queue_is_put_back(any_lab: Lab) -> None:
    id = submit(any_lab, count=2)
    queued = update(file).values(state=FileState.QUEUED)
    counts = update(transfer).values(queued=2, waiting=0)
    any_lab.database.write(lambda connection: (connection.execute(queued), connection.execute(counts)))
    assert claimed(any_lab) == 0
    assert [one.state for one in any_lab.files(id)] == [FileState.WAITING] * 2
    assert any_lab.types(id) == ["scheduled", "scheduled"]
    assert any_lab.contradictions() == []


def test_paused_over_its_time_it_waits_for_its_owner_only(any_lab: Lab) -> None:
    id = submit(any_lab)
    any_lab.store.ask(id, None, Wish.PAUSE)
    its = any_lab.file(id)
    assert (its.state, its.cause) == (FileState.PAUSED, None), "it is not its time that it waits for now"
    let_time_come(any_lab, id)
    begin(any_lab)
    assert any_lab.store.get(id, None).state is TransferState.PAUSED
    any_lab.store.ask(id, None, Wish.RESUME)
    assert claimed(any_lab) == 1


def test_cancelled_it_never_begins(any_lab: Lab) -> None:
    id = submit(any_lab)
    any_lab.store.ask(id, None, Wish.CANCEL)
    let_time_come(any_lab, id)
    begin(any_lab)
    found = any_lab.store.get(id, None)
    assert (found.state, found.cause) == (TransferState.CANCELLED, None)
    assert any_lab.file(id).cause is None


def test_a_clock_that_is_set_moves_no_time_that_somebody_has_named(any_lab: Lab) -> None:
    id = submit(any_lab)
    any_lab.submit(("lab:/run/", "out:/run/"), not_before=datetime.now(UTC) + FAR)
    before = any_lab.file(id).next_try
    failed = any_lab.submit(("lab:/x", "out:/x"))
    tried = {"state": FileState.WAITING, "next_try": 5000.0}
    its = update(file).where(file.c.destination_path == "x").values(tried)
    any_lab.database.write(lambda connection: connection.execute(its))
    any_lab.database.write(lambda connection: shift(connection, 3600.0))
    assert any_lab.file(id).next_try == before
    assert any_lab.file(failed).next_try.timestamp() == 8600
    with any_lab.database.read() as connection:
        (listed,) = connection.execute(select(walk.c.next_try)).scalars()
    assert abs(listed - before.timestamp()) < 60
    back = {"state": FileState.QUEUED, "next_try": None}
    its = update(file).where(file.c.destination_path == "x").values(back)
    any_lab.database.write(lambda connection: connection.execute(its))


def test_a_folder_is_listed_when_its_time_has_come(lab: Lab) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    (source / "run").mkdir()
    lab.start()
    id = lab.submit(("lab:/run/", "out:/run/"), not_before=datetime.now(UTC) + FAR)
    found = lab.store.get(id, None)
    assert (found.state, found.cause.code, found.files.total) == (TransferState.WAITING, "scheduled", 0)
    (source / "run" / "late.dat").write_bytes(b"made while it waited")
    let_time_come(lab, id)
    assert lab.wait(id).state is TransferState.DONE
    assert (out / "run" / "late.dat").read_bytes() == b"made while it waited"


def test_a_folder_is_not_listed_before(lab: Lab) -> None:
    source, _ = lab.posix("lab"), lab.posix("out")
    (source / "run").mkdir()
    (source / "run" / "f").touch()
    lab.start()
    done = lab.wait(lab.submit(("lab:/run/", "out:/run/"), not_before=datetime.now(UTC) + SOON))
    assert (done.state, done.files.done) == (TransferState.DONE, 1)
    assert done.finished >= done.not_before


def test_it_begins_by_itself_and_not_before(any_lab: Lab) -> None:
    source, out = any_lab.posix("lab"), any_lab.posix("out")
    (source / "f0").write_bytes(b"data")
    any_lab.start()
    done = any_lab.wait(submit(any_lab, ahead=SOON))
    assert (done.state, done.cause) == (TransferState.DONE, None)
    assert done.finished >= done.not_before
    assert (out / "f0").read_bytes() == b"data"
    assert any_lab.contradictions() == []


def test_a_restart_changes_nothing(lab: Lab) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    (source / "f0").write_bytes(b"data")
    lab.start()
    id = submit(lab)
    lab.stop()
    lab.start()
    assert lab.store.get(id, None).cause.code == "scheduled"
    let_time_come(lab, id)
    assert lab.wait(id).state is TransferState.DONE
    assert (out / "f0").read_bytes() == b"data"


def test_bytes_of_an_upload_come_before_its_time_and_move_on_then(any_lab: Lab, noise: Callable[..., bytes]) -> None:
    sender, out = any_lab.uploads(), any_lab.posix("out")
    any_lab.start()
    data = noise(30 * MiB)
    id = sender.announce("aa", "out:/run.dat", 30 * MiB, not_before=datetime.now(UTC) + FAR)
    sender.send("aa", data)
    sender.record("aa")
    sender.complete("aa")
    found = any_lab.store.get(id, None)
    assert (found.state, found.cause.code) == (TransferState.WAITING, "scheduled")
    assert any_lab.file(id).cause.code == "scheduled"
    assert list(out.iterdir()) == []
    let_time_come(any_lab, id)
    done = any_lab.wait(id)
    assert (done.state, done.cause) == (TransferState.DONE, None)
    assert (out / "run.dat").read_bytes() == data
    assert any_lab.contradictions() == []


def test_an_upload_of_which_enough_was_here_at_its_time_moves_on(lab: Lab, noise: Callable[..., bytes]) -> None:
    sender, out = lab.uploads(), lab.posix("out")
    lab.start()
    data = noise(60 * MiB)
    id = sender.announce("aa", "out:/run.dat", 60 * MiB, not_before=datetime.now(UTC) + FAR)
    sender.send("aa", data[: 40 * MiB])
    sender.record("aa")
    assert lab.file(id).state is FileState.WAITING
    assert list(out.iterdir()) == []
    let_time_come(lab, id)
    lab.until(lambda: lab.file(id).bytes_done > 0)
    sender.send("aa", data[40 * MiB :])
    sender.complete("aa")
    assert lab.wait(id).state is TransferState.DONE


def test_a_deadline_that_is_named_is_not_prolonged_by_the_sender(any_lab: Lab) -> None:
    sender = any_lab.uploads()
    firm = sender.announce("aa", "out:/a", 4)
    loose = sender.announce("bb", "out:/b", 4)
    soon = datetime.now(UTC).timestamp() + 60
    its = update(transfer).values(deadline=soon)
    named = update(transfer).where(transfer.c.id == firm).values(firm=True)
    any_lab.database.write(lambda connection: (connection.execute(its), connection.execute(named)))
    for id in ("aa", "bb"):
        sender.send(id, b"data")
        sender.complete(id)
    assert any_lab.store.get(firm, None).deadline.timestamp() == pytest.approx(soon)
    assert any_lab.store.get(loose, None).deadline.timestamp() > soon + 3600
