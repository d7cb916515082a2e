"""Files really move: what arrives, what is refused, and what the records say."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from awscrt.checksums import crc64nvme
from scigate.gateway_api.db.database import DatabaseUnavailable
from scigate.gateway_api.db.schema import transfer as transfers
from scigate.gateway_api.resources import FileState, Proof, TransferState
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import Buffer, Entry, Limits, MiB
from scigate.storage_backends.layers.layer import Layer
from sqlalchemy import update

Lab = Any  # from conftest.py
DRAFT = ".scigate-"


def drafts(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names if name.startswith(DRAFT)]


@pytest.mark.parametrize("size", [0, 1, 100_000, 8 * MiB, 8 * MiB + 1, 40 * MiB])
def test_a_file_arrives_whole_and_proven(any_lab: Lab, noise: Callable[..., bytes], size: int) -> None:
    lab, data = any_lab, noise(size)
    source, out = lab.posix("lab"), lab.posix("out")
    (source / "a.bam").write_bytes(data)
    lab.start()
    done = lab.run(("lab:/a.bam", "out:/x/b.bam"))
    assert (out / "x" / "b.bam").read_bytes() == data
    assert (done.state, done.proof, done.cause) == (TransferState.DONE, Proof.A, None)
    assert (done.bytes_total, done.bytes_done, done.files.done, done.files.total) == (size, size, 1, 1)
    file = lab.file(done.id)
    assert (file.size, file.bytes_done, file.skipped) == (size, size, False)
    assert file.digests["crc64nvme"] == f"{crc64nvme(data):016x}"
    assert drafts(out) == []


@pytest.mark.parametrize("size", [100, 20 * MiB])
def test_a_copy_within_one_storage(lab: Lab, noise: Callable[..., bytes], size: int) -> None:
    root = lab.posix("lab")
    (root / "a").write_bytes(noise(size))
    lab.start()
    done = lab.run(("lab:/a", "lab:/deep/er/b"))
    assert (root / "deep/er/b").read_bytes() == noise(size)
    assert (done.state, done.proof) == (TransferState.DONE, Proof.A)


class TinyBlocks(Layer):
    """A storage that takes only small objects at once, and only short blocks."""

    @property
    def limits(self) -> Limits:
        return replace(self.inner.limits, put_max=MiB // 2, block_preferred=MiB, block_max=MiB)


def test_a_small_file_goes_in_blocks_where_the_storage_takes_no_more_at_once(
    lab: Lab, noise: Callable[..., bytes]
) -> None:
    source, out = lab.posix("lab"), lab.posix("out", wrap=TinyBlocks)
    data = noise(5 * MiB // 2)
    (source / "f").write_bytes(data)
    lab.start()
    assert lab.run(("lab:/f", "out:/f")).state is TransferState.DONE
    assert (out / "f").read_bytes() == data


def test_to_and_from_memory(lab: Lab, large: bytes) -> None:
    source, memory = lab.posix("lab"), lab.memory("mem")
    out = lab.posix("out")
    (source / "large").write_bytes(large)
    (source / "small").write_bytes(b"small")
    lab.start()
    there = lab.run(("lab:/large", "mem:/large"), ("lab:/small", "mem:/small"))
    assert there.state is TransferState.DONE
    assert b"".join(bytes(piece) for piece in memory.read("large")) == large
    back = lab.run(("mem:/large", "out:/large"), ("mem:/small", "out:/small"))
    assert back.state is TransferState.DONE
    assert (out / "large").read_bytes() == large


ODD = [
    b"with space",
    b"new\nline",
    b"tab\t",
    b"\xff\xfe not UTF-8",
    "ünï😀".encode(),
    b"-rf",
    b"a\\b",
    b"%2F",
    b"x" * 255,
]


def test_a_folder_arrives_with_every_name_as_it_was(any_lab: Lab) -> None:
    lab = any_lab
    source, out = os.fsencode(lab.posix("lab")), os.fsencode(lab.posix("out"))
    for name in ODD:
        os.makedirs(source + b"/run/" + name[:20], exist_ok=True)
        for path in (source + b"/run/" + name[:20] + b"/" + name, source + b"/run/f" + name[:250]):
            Path(os.fsdecode(path)).write_bytes(b"content of " + name)
    Path(os.fsdecode(source + b"/run/empty")).write_bytes(b"")
    lab.start()
    done = lab.run(("lab:/run/", "out:/copy/"))
    assert done.state is TransferState.DONE, lab.tell(done.id)
    assert done.files.total == 2 * len(ODD) + 1
    for name in ODD:
        assert Path(os.fsdecode(out + b"/copy/" + name[:20] + b"/" + name)).read_bytes() == b"content of " + name
    assert {file.state for file in lab.files(done.id)} == {FileState.DONE}


def test_what_cannot_be_copied_fails_with_a_reason_and_the_others_go_on(lab: Lab) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    (source / "run").mkdir()
    (source / "run" / "good").write_bytes(b"good")
    (source / "run" / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "run" / "pipe")
    lab.start()
    done = lab.run(("lab:/run/", "out:/run/"))
    assert done.state is TransferState.FAILED
    assert (done.files.done, done.files.failed, done.files.total) == (1, 2, 3)
    failed = {file.source: file.cause for file in lab.files(done.id, FileState.FAILED)}
    assert failed.keys() == {"lab:/run/link", "lab:/run/pipe"}
    assert {cause.code for cause in failed.values()} == {"not-regular"}
    assert all(cause.message and cause.next_step and not cause.retriable for cause in failed.values())
    assert os.listdir(out / "run") == ["good"]
    assert done.cause is not None


def test_an_empty_folder_and_a_missing_one(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    (source / "empty").mkdir()
    lab.start()
    assert lab.run(("lab:/empty/", "out:/x/")).state is TransferState.DONE
    missing = lab.run(("lab:/missing/", "out:/y/"))
    assert (missing.state, missing.files.failed) == (TransferState.FAILED, 1)
    assert lab.file(missing.id).cause.code == "not-found"


def test_a_listing_that_failed_is_listed_again_on_retry(lab: Lab) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    lab.start()
    failed = lab.run(("lab:/late/", "out:/late/"))
    assert failed.state is TransferState.FAILED
    (source / "late").mkdir()
    (source / "late" / "f").write_bytes(b"here now")
    lab.store.ask(failed.id, None, Wish.RETRY)
    assert lab.wait(failed.id).state is TransferState.DONE
    assert (out / "late" / "f").read_bytes() == b"here now"


def test_two_folders_with_the_same_names_do_not_hide_each_others_files(lab: Lab) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    for folder in ("a", "b"):
        (source / folder).mkdir()
        (source / folder / "same").write_bytes(folder.encode())
        (source / folder / f"own-{folder}").write_bytes(folder.encode())
    lab.start()
    done = lab.run(("lab:/a/", "out:/"), ("lab:/b/", "out:/"))
    assert done.state is TransferState.FAILED
    assert sorted(os.listdir(out)) == ["own-a", "own-b", "same"]
    (failed,) = lab.files(done.id, FileState.FAILED)
    assert failed.cause.code == "same-destination"
    assert failed.cause.next_step


SAME, OTHER, LONGER = b"content", b"CONTENT", b"content and more"
YEAR = 365 * 24 * 3600


@pytest.mark.parametrize("padding", [0, 9 * MiB], ids=["small", "large"])
@pytest.mark.parametrize(
    ("overwrite", "existing", "age", "state", "skipped"),
    [
        ("fail", None, 0, TransferState.DONE, False),
        ("fail", SAME, 0, TransferState.FAILED, False),
        ("skip-same", SAME, 0, TransferState.DONE, True),
        ("skip-same", OTHER, 0, TransferState.DONE, False),
        ("skip-same", LONGER, 0, TransferState.DONE, False),
        ("newer", OTHER, -YEAR, TransferState.DONE, False),
        ("newer", OTHER, YEAR, TransferState.DONE, True),
        ("overwrite", SAME, YEAR, TransferState.DONE, False),
        ("overwrite", OTHER, YEAR, TransferState.DONE, False),
    ],
)
def test_policies(
    lab: Lab, overwrite: str, existing: bytes | None, age: int, state: TransferState, skipped: bool, padding: int
) -> None:
    source, out = lab.posix("lab"), lab.posix("out")
    (source / "f").write_bytes(SAME + b"." * padding)
    if existing is not None:
        (out / "f").write_bytes(existing + b"." * padding)
        os.utime(out / "f", times=(time.time() + age, time.time() + age))
    before = (out / "f").stat().st_ino if existing is not None else None
    lab.start()
    done = lab.run(("lab:/f", "out:/f"), overwrite=overwrite)
    assert (done.state, done.files.skipped) == (state, int(skipped))
    kept = state is TransferState.FAILED or skipped
    assert (out / "f").read_bytes() == (existing if kept else SAME) + b"." * padding
    assert ((out / "f").stat().st_ino == before) == kept
    lab.until(lambda: drafts(out) == [])
    if state is TransferState.FAILED:
        assert lab.file(done.id).cause.code == "already-exists"
        assert "overwrite" in lab.file(done.id).cause.next_step


@pytest.mark.parametrize(("verify", "proof"), [("auto", Proof.A), ("reread", Proof.A), ("size", Proof.D)])
@pytest.mark.parametrize("size", [10, 9 * MiB])
def test_grades_of_proof(lab: Lab, verify: str, proof: Proof, size: int) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x" * size)
    lab.start()
    assert lab.run(("lab:/f", "out:/f"), verify=verify).proof is proof


def test_the_weakest_proof_is_the_transfers(lab: Lab) -> None:
    source, memory = lab.posix("lab"), lab.memory("mem")
    lab.posix("out")
    (source / "f").write_bytes(b"x")
    memory.put("kept", b"x")
    lab.start()
    done = lab.run(("lab:/f", "mem:/f"), ("lab:/f", "out:/f"))
    grades = [file.proof for file in lab.files(done.id)]
    assert done.proof is max(grades)


@pytest.mark.parametrize("size", [10, 9 * MiB])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512", "md5", "crc64nvme", "adler", "crc32c"])
def test_a_digest_that_the_source_promises_and_does_not_keep_is_never_done(lab: Lab, size: int, algorithm: str) -> None:
    wrong = {
        "sha-256": "0" * 64,
        "sha-512": "0" * 128,
        "md5": "0" * 32,
        "crc64nvme": "0" * 16,
        "adler": "0" * 8,
        "crc32c": "0" * 8,
    }

    def lie(inner: Any) -> Any:
        stat = inner.stat

        class Liar(type(inner)):  # type: ignore[misc]
            def stat(self, path: str) -> Entry:
                entry = stat(path)
                return Entry(path, entry.kind, entry.size, entry.modified, entry.version, {algorithm: wrong[algorithm]})

        inner.__class__ = Liar
        return inner

    source = lab.posix("lab", wrap=lie)
    out = lab.posix("out")
    (source / "f").write_bytes(b"x" * size)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    lab.until(lambda: "failure" in lab.types(transfer), tell=lambda: lab.tell(transfer))
    file = lab.file(transfer)
    assert file.state is not FileState.DONE
    assert file.cause.code == "digest-mismatch"
    assert algorithm in file.cause.message
    assert not (out / "f").exists()


def test_a_missing_source(lab: Lab) -> None:
    lab.posix("lab")
    lab.posix("out")
    lab.start()
    done = lab.run(("lab:/nothing", "out:/f"))
    assert done.state is TransferState.FAILED
    assert done.cause.code == "not-found"
    assert "nothing" in done.cause.message
    assert lab.types(done.id) == ["claim", "failure"]


def test_a_storage_that_is_gone_from_the_settings_fails_its_files_alone(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x")
    lab.start()
    gone = lab.submit(("lab:/f", "gone:/f"), ("gone:/f", "out:/g"), ("gone:/run/", "out:/run/"))
    assert lab.run(("lab:/f", "out:/f")).state is TransferState.DONE
    done = lab.wait(gone)
    assert (done.state, done.files.failed) == (TransferState.FAILED, 3)
    assert {file.cause.code for file in lab.files(gone)} == {"not-found"}


def test_a_transfer_past_its_deadline_fails_and_says_so(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x")
    submitted = lab.submit(("lab:/f", "out:/f"))
    past = datetime.now(UTC).timestamp() - 1
    lab.database.write(lambda connection: connection.execute(update(transfers).values(deadline=past)) and None)
    lab.start()
    done = lab.wait(submitted)
    assert done.state is TransferState.FAILED
    assert done.cause.code == "deadline"
    assert "later deadline" in done.cause.next_step


def test_a_listing_is_not_tried_beyond_the_deadline(lab: Lab) -> None:
    from scigate.storage_backends.errors import Unreachable
    from scigate.storage_backends.layers import Fault

    lab.posix("lab", Fault("scan", error=Unreachable))
    lab.posix("out")
    lab.start()
    transfer = lab.submit(("lab:/run/", "out:/run/"), deadline=datetime.now(UTC) + timedelta(hours=1))
    lab.until(lambda: lab.store.get(transfer, None).cause is not None)
    soon = update(transfers).values(deadline=datetime.now(UTC).timestamp() + 2)
    lab.database.write(lambda connection: connection.execute(soon) and None)
    done = lab.wait(transfer)
    assert done.state is TransferState.FAILED
    assert lab.file(transfer).cause.code == "unreachable"


def test_priority_decides_who_goes_first(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x" * (9 * MiB))
    ids = {priority: lab.submit(("lab:/f", f"out:/p{priority}"), priority=priority) for priority in (0, 5, 9, 3)}
    from scigate.gateway_api.transfers.scheduler import SlotLimits

    lab.start(slots=SlotLimits(1, 1, 1))
    finished = {priority: lab.wait(transfer).finished for priority, transfer in ids.items()}
    assert sorted(finished, key=lambda priority: finished[priority]) == [9, 5, 3, 0]


def test_ten_thousand_files_of_one_user_do_not_keep_another_waiting(lab: Lab) -> None:
    from scigate.gateway_api.transfers.scheduler import SlotLimits

    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x")
    hers = lab.submit(*[("lab:/f", f"out:/ada/{number}") for number in range(3000)])
    lab.start(slots=SlotLimits(2, 2, 4), batch_files=64)
    lab.until(lambda: lab.store.get(hers, None).files.done > 0)
    his = lab.wait(lab.submit(("lab:/f", "out:/bo"), owner="bo"))
    assert his.state is TransferState.DONE
    assert lab.wait(hers, 240).files.done == 3000
    submitted, claimed, *_ = lab.store.events(his.id, None, after=0, limit=100).items
    assert claimed.type == "scigate.file.claim"
    journal = lab.store.events(hers, None, after=0, limit=100_000).items
    claims = [int(event.id) for event in journal if event.type == "scigate.file.claim"]
    assert len(claims) == 3000
    assert sum(int(submitted.id) < id < int(claimed.id) for id in claims) < 64 * 4


def test_a_large_file_found_in_a_batch_is_not_taken_for_lost_when_the_batch_ends(lab: Lab) -> None:
    """It runs by itself long before the batch that gave it back is over."""
    large_began, batch_is_over = threading.Event(), threading.Event()

    class Paced(Layer):
        extras = Layer.wrapped  # type: ignore[assignment]

        def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
            if path == "large":
                large_began.set()
                assert batch_is_over.wait(120)
                time.sleep(1)  # more than three rounds of the reconciler
            else:
                assert large_began.wait(120)
            yield from start()

    source, out = lab.posix("lab", wrap=Paced), lab.posix("out")
    (source / "large").write_bytes(b"l" * 9 * MiB)
    (source / "small").write_bytes(b"s" * 1000)
    lab.start()
    transfer = lab.submit(("lab:/small", "out:/small"), ("lab:/large", "out:/large"))
    lab.until(lambda: any(file.state is FileState.DONE for file in lab.files(transfer)))
    batch_is_over.set()
    assert lab.wait(transfer).state is TransferState.DONE
    assert "lapse" not in lab.types(transfer)
    assert (out / "large").stat().st_size == 9 * MiB


def test_it_stops_while_the_database_is_away(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds is given back by its lease, which runs out; the process ends without an error."""

    def away(job: object) -> None:
        raise DatabaseUnavailable("the database cannot be reached")

    engine = lab.start()
    with monkeypatch.context() as patch:
        patch.setattr(lab.database, "write", away)
        engine.stop(timedelta(seconds=10))
    lab.engine = None


def test_files_with_a_slot_each_are_claimed_together_and_never_more_than_there_are_slots(lab: Lab) -> None:
    from scigate.gateway_api.transfers.scheduler import SlotLimits

    source = lab.posix("lab")
    lab.posix("out")
    (source / "f").write_bytes(b"x")
    transfer = lab.submit(*[("lab:/f", f"out:/{number}") for number in range(60)])
    most: list[int] = []
    lab.database.on_commit.append(lambda: most.append(lab.engine.active() if lab.engine else 0))
    engine = lab.start(slots=SlotLimits(11, 11, 11), batch_files=1)
    assert lab.wait(transfer).files.done == 60
    assert max(most) <= 11
    lab.until(lambda: engine.active() == 0)
    claims = [event for event in lab.store.events(transfer, None, after=0, limit=1000).items if "claim" in event.type]
    assert len(claims) == 60, "each of them once"
