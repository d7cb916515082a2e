"""Storages that break, lie, fill up and come back; people who stop what runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.resources import FileState, TransferState
from scigate.gateway_api.transfers.scheduler import SlotLimits
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import Backend, Buffer, MiB
from scigate.storage_backends.errors import CredentialRefused, NoSpace, StorageError, Throttled, Unreachable
from scigate.storage_backends.layers import Fault, Layer
from scigate.storage_backends.memory import TYPE as MEMORY

Lab = Any  # from conftest.py
BLOCK = 12 * MiB
SMALL, LARGE = 1000, 9 * MiB


def drafts(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names if name.startswith(".scigate-")]


class Gate(Layer):
    """Lets bytes of ``read`` through up to ``until``, then waits for ``open``; may break with ``error`` instead."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, inner: Backend, until: int = 0) -> None:
        super().__init__(inner)
        self.until, self.passed = until, 0
        self.opened, self.reached = threading.Event(), threading.Event()
        self.error: type[Exception] | None = None

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        for buffer in start():
            if self.passed >= self.until and not self.opened.is_set():
                self.reached.set()
                while not self.opened.wait(0.02):
                    yield b""  # slow, not silent: who reads looks whether to go on
            if self.error:
                raise self.error("broken by the test")
            self.passed += len(buffer)
            yield buffer


def gated(lab: Lab, data: bytes, until: int = 0) -> tuple[Gate, Path, Path]:
    gates: list[Gate] = []

    def wrap(inner: Backend) -> Backend:
        gates.append(Gate(inner, until))
        return gates[0]

    source, out = lab.posix("lab", wrap=wrap), lab.posix("out")
    (source / "f").write_bytes(data)
    return gates[0], source / "f", out


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("operation", ["read", "write", "draft", "seal", "publish", "stat"])
def test_a_storage_that_breaks_now_and_then_only_delays(lab: Lab, operation: str, size: int) -> None:
    source = lab.posix("lab")
    every = 3 if operation == "read" else 2  # an attempt that goes on reads twice: what is there, and the whole
    out = lab.posix("out", Fault(operation, every=every, error=Unreachable))
    for number in range(4):
        (source / f"f{number}").write_bytes(bytes([number]) * size)
    lab.start(slots=SlotLimits(1, 1, 1))
    done = lab.run(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(4)])
    assert done.state is TransferState.DONE
    for number in range(4):
        assert (out / f"f{number}").read_bytes() == bytes([number]) * size
    assert drafts(out) == []


def test_a_sync_that_fails_is_not_taken_for_durable(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out", Fault("sync", every=2, error=Unreachable))
    (source / "f").write_bytes(b"x")
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    done = lab.wait(transfer)
    assert done.state is TransferState.DONE
    assert "failure" in lab.types(transfer)
    assert lab.types(transfer)[-1] == "recovered"
    assert lab.meters["out"].totals()["sync"].calls >= 3, "what is recovered is made durable as well"


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_transient_errors_are_waited_out_and_told(lab: Lab, size: int) -> None:
    gate, _, _ = gated(lab, b"x" * size)
    gate.opened.set()
    gate.error = Unreachable
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    file = lab.file_in(transfer, FileState.WAITING)
    assert file.cause.code == "unreachable"
    assert file.cause.message.startswith("lab: ")
    assert file.cause.retriable
    assert file.next_try is not None
    gate.error = None
    assert lab.wait(transfer).state is TransferState.DONE
    assert lab.file(transfer).cause is None


def test_a_storage_that_asks_to_slow_down_is_obeyed(lab: Lab) -> None:
    class Busy(Throttled):
        def __init__(self, message: str, **_: Any) -> None:
            super().__init__(message, retry_after=timedelta(seconds=2))

    gate, _, _ = gated(lab, b"x" * SMALL)
    gate.opened.set()
    gate.error = Busy
    lab.start()
    begun = time.monotonic()
    transfer = lab.submit(("lab:/f", "out:/f"))
    lab.until(lambda: lab.file(transfer).state is FileState.WAITING)
    gate.error = None
    assert lab.wait(transfer).state is TransferState.DONE
    assert time.monotonic() - begun >= 2


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_refused_credential_pauses_until_somebody_renews_it(lab: Lab, size: int) -> None:
    gate, _, out = gated(lab, b"x" * size)
    gate.opened.set()
    gate.error = CredentialRefused
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    lab.until(lambda: lab.store.get(transfer, None).state is TransferState.PAUSED)
    assert lab.file(transfer).cause.code == "credential-refused"
    assert "resume" in lab.file(transfer).cause.next_step
    gate.error = None
    lab.store.ask(transfer, None, Wish.RESUME)
    assert lab.wait(transfer).state is TransferState.DONE
    assert (out / "f").read_bytes() == b"x" * size


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_full_storage_is_waited_for(lab: Lab, size: int) -> None:
    source = lab.posix("lab")
    memory = lab.memory("mem", capacity=size + 10)
    memory.put("old", b"x" * 20)
    (source / "f").write_bytes(b"y" * size)
    lab.start()
    transfer = lab.submit(("lab:/f", "mem:/f"))
    assert lab.file_in(transfer, FileState.WAITING).cause.code == "no-space"
    memory.delete("old")
    assert lab.wait(transfer).state is TransferState.DONE


def test_a_mistake_of_ours_ends_one_file_and_no_other(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from scigate.gateway_api.transfers import machine

    monkeypatch.setattr(machine, "FIRST_DELAY", 0.01)

    class Poison(Layer):
        extras = Layer.wrapped  # type: ignore[assignment]

        def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
            if "poison" in path:
                raise RuntimeError("secret detail")
            return start()

    source = lab.posix("lab", wrap=Poison)
    out = lab.posix("out")
    for name in ("poison", "good", "poison-large"):
        (source / name).write_bytes(b"x" * (LARGE if "large" in name else SMALL))
    lab.start()
    done = lab.run(*[(f"lab:/{name}", f"out:/{name}") for name in ("poison", "good", "poison-large")])
    assert (done.state, done.files.done, done.files.failed) == (TransferState.FAILED, 1, 2)
    for file in lab.files(done.id, FileState.FAILED):
        assert file.cause.code == "internal"
        assert "secret detail" not in str(file.cause)
    assert lab.types(done.id).count("failure") == 2 * 3, "tried three times each"
    lab.until(lambda: os.listdir(out) == ["good"])  # drafts go when it is written down that their files have failed


@pytest.mark.parametrize("size", [LARGE, 2 * BLOCK])
def test_a_source_that_changes_once_is_copied_anew(lab: Lab, size: int) -> None:
    gate, source, out = gated(lab, b"a" * size, until=size // 2)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert gate.reached.wait(60)
    source.write_bytes(b"b" * (size + 7))
    gate.opened.set()
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert (out / "f").read_bytes() == b"b" * (size + 7)
    (failure,) = [event for event in lab.store.events(transfer, None, after=0, limit=100).items
                  if event.type == "scigate.file.failure"]  # fmt: skip
    assert failure.data["cause"]["code"] == "source-changed"


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_source_that_never_rests_fails_and_leaves_nothing(lab: Lab, size: int) -> None:
    class Writer(Layer):
        """Somebody appends to the file whenever it is read."""

        extras = Layer.wrapped  # type: ignore[assignment]

        def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
            with (root / path).open("ab") as file:
                file.write(b"more")
            return start()

    root = lab.folder / "lab"
    lab.posix("lab", wrap=Writer)
    out = lab.posix("out")
    (root / "f").write_bytes(b"x" * size)
    lab.start()
    done = lab.run(("lab:/f", "out:/f"))
    assert done.state is TransferState.FAILED
    assert done.cause.code == "source-changed"
    lab.until(lambda: os.listdir(out) == [])


def test_a_block_that_was_damaged_on_the_way_is_sent_again_alone(lab: Lab) -> None:
    size = 3 * BLOCK
    source = lab.posix("lab")
    (source / "f").write_bytes(os.urandom(1024) * (size // 1024))
    flips = {"left": 1}

    class Damage(Layer):
        extras = Layer.wrapped  # type: ignore[assignment]

        def writing(self, path: str, offset: int, buffers: Any) -> Iterator[Buffer]:
            for buffer in buffers:
                data = bytearray(buffer)
                if offset == BLOCK and flips["left"]:
                    flips["left"] -= 1
                    data[5] ^= 1
                offset += len(buffer)
                yield data

    out = lab.posix("out", wrap=Damage)
    lab.start(streams=1)
    done = lab.run(("lab:/f", "out:/f"))
    assert done.state is TransferState.DONE
    assert (out / "f").read_bytes() == (source / "f").read_bytes()
    assert lab.meters["out"].totals()["write"].bytes == size + BLOCK
    events = lab.store.events(done.id, None, after=0, limit=100).items
    (damaged,) = [event for event in events if event.type == "scigate.file.damaged"]
    assert damaged.data["blocks"] == [1]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_damage_that_stays_is_never_done(lab: Lab, size: int) -> None:
    source = lab.posix("lab")
    out = lab.posix("out", Fault("write", flip=500))
    (source / "f").write_bytes(b"x" * size)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert lab.file_in(transfer, FileState.WAITING).cause.code == "digest-mismatch"
    assert not (out / "f").exists()


def test_cancelling_a_copy_leaves_nothing(lab: Lab) -> None:
    gate, _, out = gated(lab, b"x" * 2 * BLOCK, until=BLOCK)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert gate.reached.wait(60)
    lab.until(lambda: drafts(out) != [])
    asked = lab.store.ask(transfer, None, Wish.CANCEL)
    assert asked.state in (TransferState.CANCELLING, TransferState.CANCELLED)
    assert lab.wait(transfer).state is TransferState.CANCELLED
    assert os.listdir(out) == []
    assert lab.types(transfer)[-2:] == ["cancel", "cleaned"]


def test_pausing_keeps_what_was_copied(lab: Lab) -> None:
    size = 4 * BLOCK
    gate, source, out = gated(lab, os.urandom(1024) * (size // 1024), until=2 * BLOCK)
    lab.start(streams=1)
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert gate.reached.wait(60)
    lab.store.ask(transfer, None, Wish.PAUSE)
    lab.until(lambda: lab.file(transfer).state is FileState.PAUSED)
    assert lab.store.get(transfer, None).state is TransferState.PAUSED
    assert lab.file(transfer).bytes_done == 2 * BLOCK
    assert not (out / "f").exists()
    gate.opened.set()
    before = lab.meters["lab"].totals()["read"].bytes
    lab.store.ask(transfer, None, Wish.RESUME)
    assert lab.wait(transfer).state is TransferState.DONE
    assert lab.meters["lab"].totals()["read"].bytes - before == 2 * BLOCK, "only the missing blocks are read"
    assert (out / "f").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.CANCEL])
def test_what_is_being_published_becomes_done(lab: Lab, wish: Wish, size: int) -> None:
    held, go = threading.Event(), threading.Event()

    class SlowPublish(Layer):
        extras = Layer.wrapped  # type: ignore[assignment]

        def call(self, operation: str, path: str, run: Callable[[], Any], size: int = 0) -> Any:
            if operation == "publish":
                held.set()
                go.wait(60)
            return run()

    source, out = lab.posix("lab"), lab.posix("out", wrap=SlowPublish)
    for number in range(3):
        (source / f"f{number}").write_bytes(b"x" * size)
    engine = lab.start(slots=SlotLimits(1, 1, 1))
    transfer = lab.submit(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(3)])
    assert held.wait(60)
    lab.store.ask(transfer, None, wish)
    lab.until(lambda: all(sign.why for sign in engine._runtime.signs.values()))
    go.set()
    if wish is Wish.PAUSE:
        lab.until(lambda: lab.store.get(transfer, None).files.active == 0)
        lab.store.ask(transfer, None, Wish.RESUME) if lab.store.get(transfer, None).finished is None else None
        assert lab.wait(transfer).state is TransferState.DONE
    else:
        lab.wait(transfer)
    there = sorted(name for name in os.listdir(out) if not name.startswith("."))
    done = sorted(file.destination[5:] for file in lab.files(transfer, FileState.DONE))
    assert there == done
    assert "f0" in there, "its publishing had begun"


def test_a_graceful_stop_gives_everything_back_and_the_next_engine_goes_on(any_lab: Lab) -> None:
    lab, size = any_lab, 4 * BLOCK
    gate, source, out = gated(lab, os.urandom(1024) * (size // 1024), until=2 * BLOCK)
    lab.start(streams=1)
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert gate.reached.wait(60)
    lab.stop()
    assert lab.file(transfer).state is FileState.QUEUED
    assert lab.types(transfer)[-1] == "release"
    gate.opened.set()
    before = lab.meters["lab"].totals()["read"].bytes
    lab.start()
    assert lab.wait(transfer).state is TransferState.DONE
    assert lab.meters["lab"].totals()["read"].bytes - before == 2 * BLOCK
    assert (out / "f").read_bytes() == source.read_bytes()
    assert drafts(out) == []


def test_a_lost_lease_that_comes_back_loses_no_file(lab: Lab) -> None:
    """The database does not answer for longer than a lease: the worker stops by itself, and goes on afterwards."""
    gate, source, out = gated(lab, b"x" * 2 * BLOCK, until=BLOCK)
    engine = lab.start(lease=1.0)
    transfer = lab.submit(("lab:/f", "out:/f"), ("lab:/f", "out:/g"))
    assert gate.reached.wait(60)

    back = threading.Event()
    threading.Thread(target=lab.database.write, args=(lambda connection: back.wait(60),)).start()
    lab.until(lambda: not engine._lease.is_held())
    lab.until(lambda: not engine._runtime.signs)
    back.set()
    gate.opened.set()
    assert lab.wait(transfer).state is TransferState.DONE
    assert "lapse" in lab.types(transfer)
    assert (out / "f").read_bytes() == source.read_bytes()


def test_a_dead_storage_does_not_hold_up_another(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out")
    lab.posix("dead", Fault("*", error=Unreachable))
    (source / "f").write_bytes(b"x" * LARGE)
    lab.start(slots=SlotLimits(1, 1, 1))
    stuck = lab.submit(*[("lab:/f", f"dead:/f{number}") for number in range(20)])
    lab.until(lambda: lab.store.get(stuck, None).files.waiting > 0)
    assert lab.run(("lab:/f", "out:/f")).state is TransferState.DONE
    assert lab.store.get(stuck, None).state is not TransferState.FAILED


def test_successes_of_small_files_close_the_breaker(lab: Lab) -> None:
    source = lab.posix("lab")
    lab.posix("out", Fault("draft", every=3, error=Unreachable))
    for number in range(30):
        (source / f"f{number}").write_bytes(b"x")
    engine = lab.start()
    done = lab.run(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(30)])
    assert done.state is TransferState.DONE
    lab.until(lambda: engine.active() == 0)  # a batch says that its storages work when its files are done
    assert engine._runtime.breaker.resting(time.monotonic()) == set()


def test_a_draft_that_somebody_removed_is_begun_anew(lab: Lab) -> None:
    gate, source, out = gated(lab, b"x" * 2 * BLOCK, until=BLOCK)
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert gate.reached.wait(60)
    lab.until(lambda: drafts(out) != [])
    for name in drafts(out):
        (out / name).unlink()
    gate.opened.set()
    assert lab.wait(transfer).state is TransferState.DONE
    assert (out / "f").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("error", [NoSpace, Unreachable])
def test_a_listing_that_breaks_off_begins_anew_and_doubles_nothing(lab: Lab, error: type[StorageError]) -> None:
    class Breaks(Layer):
        extras = Layer.wrapped  # type: ignore[assignment]
        left = 2

        def listing(self, prefix: str, start: Callable[[], Iterator[Any]]) -> Iterator[Any]:
            for number, entry in enumerate(start()):
                if number == 1500 and Breaks.left:
                    Breaks.left -= 1
                    raise error("the listing broke off")
                yield entry

    source, out = lab.posix("lab", wrap=Breaks), lab.posix("out")
    (source / "run").mkdir()
    for number in range(1600):
        (source / "run" / f"f{number:04}").write_bytes(b"")
    lab.start()
    done = lab.wait(lab.submit(("lab:/run/", "out:/run/")), 240)
    assert (done.state, done.files.total, done.files.done) == (TransferState.DONE, 1600, 1600)
    assert len(os.listdir(out / "run")) == 1600


class CancelledWhileStoring(Layer):
    """Its owner asks to cancel in the instant in which the storage has stored the file."""

    extras = Layer.wrapped  # type: ignore[assignment]
    on_stored: Callable[[], None] = staticmethod(lambda: None)

    def call(self, operation: str, path: str, run: Callable[[], Any], size: int = 0) -> Any:
        answer = run()
        if operation in ("put", "copy"):
            self.on_stored()
        return answer


@pytest.mark.parametrize("source", ["lab:/f", "mem:/f"])
def test_what_was_stored_before_the_wish_to_cancel_was_seen_is_told_as_done(lab: Lab, source: str) -> None:
    """Also if the wish is seen while the storage is asked for its proof."""
    storage = CancelledWhileStoring(MEMORY.build(MEMORY.options()))
    (lab.posix("lab") / "f").write_bytes(b"data")
    storage.inner.put("f", b"data")
    lab.backends["mem"] = storage
    lab.start()
    asked: list[str] = []
    running = lab.engine._runtime.signs

    def cancel() -> None:
        newest = lab.store.list(None, state=None, after=None, limit=1).items[0].id
        asked.append(lab.store.ask(newest, None, Wish.CANCEL).state)
        lab.until(lambda: any(sign.why for sign in running.values()))

    storage.on_stored = cancel
    transfer = lab.wait(lab.submit((source, "mem:/there"), overwrite="overwrite"))
    assert asked == [TransferState.CANCELLING]
    assert (transfer.files.done, transfer.files.cancelled) == (1, 0)
    assert b"".join(bytes(piece) for piece in storage.inner.read("there")) == b"data"


@pytest.fixture
def full(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transfer of a file to a storage that has no room for it; by itself it is not tried again for long."""
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.FIRST_DELAY", 600.0)
    (lab.posix("lab") / "f").write_bytes(b"data")
    lab.memory("mem", capacity=10).put("old", b"12345678")
    lab.start()
    transfer = str(lab.submit(("lab:/f", "mem:/f")))
    lab.until(lambda: lab.store.get(transfer, None).state is TransferState.WAITING)
    return transfer


def test_whoever_does_not_want_to_wait_says_retry_or_resume(lab: Lab, full: str) -> None:
    for wish in (Wish.RETRY, Wish.RESUME):
        lab.until(lambda: lab.store.get(full, None).state is TransferState.WAITING)
        before = lab.files(full)[0].attempts
        lab.store.ask(full, None, wish)
        lab.until(lambda before=before: lab.files(full)[0].attempts > before)


def test_a_cause_that_the_owner_has_settled_is_not_told_any_more(lab: Lab, full: str) -> None:
    assert lab.store.get(full, None).cause is not None
    assert lab.store.ask(full, None, Wish.PAUSE).cause is None
