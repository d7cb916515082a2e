"""Claims, fences and histories: the records stay true whatever the order of events."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from scigate.gateway_api.resources import Cause, FileState, TransferState
from scigate.gateway_api.transfers.ledger import Held, Move
from scigate.gateway_api.transfers.machine import ARROWS, Failure, Impossible, What
from scigate.gateway_api.transfers.planner import Block
from scigate.gateway_api.transfers.scheduler import Lane
from scigate.gateway_api.transfers.tasks import DoneBlock, Task
from scigate.gateway_api.transfers.wishes import Wish
from scigate.gateway_api.transfers.work import Work
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import ErrorKind, Fenced
from sqlalchemy import text

Lab = Any  # from conftest.py
PERMANENT = Failure(ErrorKind.PERMANENT, Cause(code="x", message="X.", retriable=False, next_step="Y."))
PASSING = Failure(ErrorKind.TRANSIENT, Cause(code="x", message="X.", retriable=True, next_step="Y."))


def submit(lab: Lab, count: int = 1, **options: Any) -> str:
    return str(lab.submit(*[(f"a:/f{number}", f"b:/f{number}") for number in range(count)], **options))


def claim(work: Work, files: int = 256) -> list[Task]:
    return [task for head in work.heads() for task in work.claim(head.lane, files, 1 << 30)]


def lane(work: Work) -> Lane:
    return work.heads()[0].lane


def journal(lab: Lab) -> list[Any]:
    with lab.database.read() as connection:
        return list(connection.execute(text("SELECT * FROM event ORDER BY id")))


def test_a_file_is_claimed_once(any_lab: Lab) -> None:
    submit(any_lab, 10)
    one, two = Work(any_lab.database, "one"), Work(any_lab.database, "two")
    mine, theirs = claim(one, 4), claim(two)
    assert len(mine) == 4
    assert len(theirs) == 6
    assert {task.held.seq for task in mine}.isdisjoint(task.held.seq for task in theirs)
    assert {(task.held.state, task.held.epoch) for task in mine + theirs} == {(FileState.CLAIMED, 1)}
    assert len({task.key for task in mine + theirs}) == 10


def test_whoever_was_overtaken_writes_nothing(any_lab: Lab) -> None:
    transfer = submit(any_lab)
    old, new = Work(any_lab.database, "old"), Work(any_lab.database, "new")
    (stale,) = claim(old)
    copying = old.move(Move(stale.held, What.START, {"size": 100, "source_version": "v"}))[0]
    old.record_draft(copying, "ref", 10)
    old.move(Move(copying, What.LAPSE, {"worker": None}))
    (fresh,) = claim(new)
    assert fresh.held.epoch == 2
    assert [draft.ref for draft in fresh.old_drafts] == ["ref"]
    before = journal(any_lab)
    done = DoneBlock(Block(0, 0, 10), "c", "b", "t")
    attempts: list[Callable[[], object]] = [
        lambda: old.move(Move(copying, What.COPIED)),
        lambda: old.move(Move(copying, What.FAILURE, failure=PERMANENT)),
        lambda: old.record_draft(copying, "mine", 10),
        lambda: old.record_blocks(copying, [done]),
        lambda: old.forget_blocks(copying),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced):
            attempt()
    assert old.move_if_held([Move(copying, What.COPIED)]) == []
    assert old.publishing([Move(copying, What.VERIFIED, before=(What.COPIED,))], ["identity"]) == []
    assert old.current(copying) is None
    assert journal(any_lab) == before
    assert any_lab.file(transfer).state is FileState.CLAIMED
    assert new.blocks(fresh.held) == []
    assert {draft.identity for draft in new.drafts(fresh.held.seq)} == {None}


def test_whose_file_was_taken_back_but_not_claimed_again_writes_nothing(any_lab: Lab) -> None:
    transfer = submit(any_lab)
    work = Work(any_lab.database, "one")
    (task,) = claim(work)
    work.move(Move(task.held, What.LAPSE, {"worker": None}))
    assert work.current(task.held) is None, "the epoch is the same, the owner is not"
    with pytest.raises(Fenced):
        work.move(Move(task.held, What.START))
    assert any_lab.file(transfer).state is FileState.QUEUED


@pytest.mark.parametrize("surely", [True, False])
def test_a_draft_that_a_sleeper_may_write_to_is_gone_on_with_by_nobody(any_lab: Lab, surely: bool) -> None:
    """Not even after an attempt in between that died before it had removed it."""
    submit(any_lab)
    work = Work(any_lab.database, "one")
    (first,) = claim(work)
    (copying,) = work.move(Move(first.held, What.START))
    work.record_draft(copying, "ref", 10)
    work.move(Move(copying, What.LAPSE, {"worker": None, "adoptable": surely}))
    (between,) = claim(work)
    (copying,) = work.move(Move(between.held, What.START))
    work.move(Move(copying, What.LAPSE, {"worker": None, "adoptable": True}))
    (third,) = claim(work)
    assert [(old.ref, old.block_length) for old in third.old_drafts] == [(None, None), ("ref", 10 if surely else None)]


def test_several_moves_are_written_all_or_none(any_lab: Lab) -> None:
    submit(any_lab, 3)
    work = Work(any_lab.database, "one")
    held = [task.held for task in claim(work)]
    work.move(Move(held[1], What.START))
    before = journal(any_lab)
    with pytest.raises(Fenced):
        work.move(*[Move(one, What.START) for one in held])
    assert journal(any_lab) == before
    after = work.move_if_held([Move(one, What.START) for one in held])
    assert {one.seq for one in after} == {held[0].seq, held[2].seq}


def test_what_cannot_be_is_not_written(any_lab: Lab) -> None:
    submit(any_lab)
    work = Work(any_lab.database, "one")
    (task,) = claim(work)
    with pytest.raises(Impossible):
        work.move(Move(task.held, What.PUBLISHED))
    assert work.current(task.held) == task.held


def test_files_of_a_paused_or_cancelled_transfer_are_not_claimed(any_lab: Lab) -> None:
    work = Work(any_lab.database, "one")
    for wish in (Wish.PAUSE, Wish.CANCEL):
        transfer = submit(any_lab, 3)
        with any_lab.database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM file WHERE state = 'QUEUED'")).scalar() == 3
        stored = {Wish.PAUSE: "pause", Wish.CANCEL: "cancel"}[wish]  # not all of a long transfer follow at once
        any_lab.database.write(
            lambda c, t=transfer, s=stored: c.execute(
                text("UPDATE transfer SET wish = :s, settled = :no WHERE id = :t"), {"s": s, "t": t, "no": False}
            )
        )
        assert claim(work) == []
        assert {file.state for file in any_lab.files(transfer)} <= {FileState.PAUSED, FileState.CANCELLED}


def test_large_files_go_alone_and_small_ones_together(any_lab: Lab) -> None:
    submit(any_lab, 6)
    sizes = [1, 1, 20 * MiB, 1, 5 * MiB, 5 * MiB]
    for number, size in enumerate(sizes):
        statement = text("UPDATE file SET size = :size WHERE source_path = :path")
        path = f"f{number}".encode()
        any_lab.database.write(lambda c, s=size, p=path, q=statement: c.execute(q, {"size": s, "path": p}))
    any_lab.database.write(lambda c: c.execute(text("UPDATE transfer SET bytes_total = 31457283")))
    work = Work(any_lab.database, "one")
    names = []
    while work.heads():
        names.append([task.source_path for task in work.claim(lane(work), 256, 8 * MiB)])
    assert names == [["f0", "f1", "f3", "f4"], ["f2"], ["f5"]]


def test_blocks_count_as_progress_and_forgotten_ones_do_not(any_lab: Lab) -> None:
    transfer = submit(any_lab)
    work = Work(any_lab.database, "one")
    (task,) = claim(work)
    held = work.move(Move(task.held, What.START, {"size": 25}))[0]
    blocks = [Block(0, 0, 10), Block(1, 10, 10), Block(2, 20, 5)]
    held = work.record_blocks(held, [DoneBlock(one, f"c{one.number}", "b", "t") for one in blocks])
    assert any_lab.store.get(transfer, None).bytes_done == 25
    held = work.forget_blocks(held, [1])
    assert any_lab.store.get(transfer, None).bytes_done == 15
    assert [done.crc64nvme for done in work.blocks(held)] == ["c0", "c2"]
    held = work.record_blocks(held, [DoneBlock(blocks[1], "again", "b", "t")])
    assert [done.crc64nvme for done in work.blocks(held)] == ["c0", "again", "c2"]
    assert any_lab.store.get(transfer, None).bytes_done == 25


HISTORIES = 40


@pytest.mark.parametrize("seed", range(4))
def test_the_records_are_sound_after_any_history(any_lab: Lab, seed: int) -> None:
    """Workers, people and time do whatever comes to their minds; the fixture looks for contradictions afterwards."""
    rng = random.Random(seed)
    workers = [Work(any_lab.database, f"w{number}") for number in range(3)]
    transfers = [submit(any_lab, rng.randint(1, 12), owner=rng.choice(["ada", "bo"])) for _ in range(5)]
    seen: list[tuple[Work, Held]] = []
    for _ in range(HISTORIES * 8):
        action = rng.random()
        if action < 0.2:
            work = rng.choice(workers)
            seen += [(work, task.held) for task in claim(work, rng.randint(1, 5))]
        elif action < 0.3:
            ask(any_lab, rng.choice(transfers), rng.choice(list(Wish)))
        elif action < 0.35:
            any_lab.database.write(lambda c: c.execute(text("UPDATE file SET next_try = 1 WHERE state = 'WAITING'")))
            rng.choice(workers).wake()
        elif seen:
            work, held = seen[rng.randrange(len(seen))]  # perhaps long overtaken
            seen += [(work, after) for after in push(work, held, rng)]
    assert any_lab.contradictions() == []
    states = {file.state for transfer in transfers for file in any_lab.files(transfer)}
    assert len(states) >= 3, "many things happened"


def ask(lab: Lab, transfer: str, wish: Wish) -> None:
    from scigate.gateway_api.problems import Problem

    try:
        lab.store.ask(transfer, None, wish)
    except Problem as refused:
        assert refused.status == 409


def push(work: Work, held: Held, rng: random.Random) -> list[Held]:
    owned = [what for state, what in ARROWS if state is held.state and what not in (What.CLAIM, What.RETRY)]
    if not owned or held.state in (FileState.QUEUED, FileState.WAITING, FileState.PAUSED, FileState.FAILED):
        return []
    what = rng.choice(owned)
    if what in (What.RESUME, What.WAKE):
        return []
    values: dict[str, Any] = {}
    if what is What.START:
        values = {"size": rng.choice([0, 10, 10_000_000])}
    if what in (What.PUBLISHED, What.STORED, What.RECOVERED, What.SKIPPED):
        size = held.size if held.size is not None else 5
        values = {"bytes_done": size, "size": size, "proof": rng.choice("ABD")}
        values |= {"skipped": True} if what is What.SKIPPED else {}
    fails = what in (What.FAILURE, What.STARVED, What.EXPIRED)
    failure = rng.choice([PERMANENT, PASSING]) if fails else None
    worker = {"worker": None} if what in (What.LAPSE, What.CLEANED) else {}
    try:
        return work.move(Move(held, what, {**values, **worker}, failure=failure))
    except Fenced:
        return []


def test_the_checker_sees_what_is_wrong(lab: Lab) -> None:
    """The tests above would also pass if it saw nothing."""
    transfer = submit(lab, 2)
    work = Work(lab.database, "one")
    claim(work)
    assert lab.contradictions() == []
    spoil = [
        ("UPDATE transfer SET queued = queued + 1", "queued is 1"),
        ("UPDATE file SET state = 'DONE' WHERE seq = 1", "DONE with 0 of None bytes"),
        ("UPDATE file SET epoch = 7 WHERE seq = 1", "in epoch 7"),
        ("UPDATE event SET data = replace(data, '\"epoch\": 1', '\"epoch\": 2') WHERE file = 2", "has epoch 2 after 0"),
        ("UPDATE event SET type = 'file.published' WHERE file = 1", "published leads from QUEUED to CLAIMED"),
        ("UPDATE transfer SET finished = 1", "left to do"),
        ("UPDATE file SET next_try = 5 WHERE seq = 2", "next try 5"),
    ]
    for statement, said in spoil:
        with lab.database._writer.connect() as connection:
            connection.execute(text(statement))
            from tests.audit import contradictions

            assert any(said in line for line in contradictions(connection)), statement
            connection.rollback()
    assert lab.store.get(transfer, None).state is TransferState.ACTIVE
