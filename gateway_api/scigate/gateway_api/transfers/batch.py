"""Moving many small files together: one commit claims them, one sync makes them durable, one commit finishes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from scigate.storage_backends.backend import Backend, Draft, Entry, PartReceipt
from scigate.storage_backends.digests import ALGORITHMS, digest
from scigate.storage_backends.errors import DigestMismatch, Fenced, SourceChanged

from ..resources import FileState, Overwrite, Proof, Verify
from .lease import LeaseLost
from .ledger import Held, Move
from .looking import abandon, is_known, known_entry, or_made_before, refuse_broken_promise, source_entry
from .machine import What
from .mover import (
    MAY_APPEAR,
    TINY,
    Copied,
    appeared,
    copy_inside,
    is_absent_only,
    is_inside,
    prove,
    recovered,
    settled_already,
    started,
)
from .planner import SMALL, block_length, cut
from .runtime import Digester, Runtime, at, crc64nvme_of, watched
from .tasks import Task

A = TypeVar("A")
B = TypeVar("B")
OnError = Callable[[Task, Exception], None]


@dataclass(slots=True)
class Item:
    """One file of the batch on its way."""

    task: Task
    source: Backend
    path: str
    entry: Entry
    held: Held
    digester: Digester = field(default_factory=Digester)
    draft: Draft | None = None
    receipts: list[PartReceipt] = field(default_factory=list)
    proof: Proof | None = None
    copied: Copied | None = None

    def done(self, what: What) -> Move:
        """The move to DONE, with its evidence."""
        if self.copied is not None:
            return self.copied.done(self.held)
        values: dict[str, Any] = {"proof": self.proof, "bytes_done": self.entry.size}
        if what is What.STORED:  # a draft's digests were written when it was verified
            values["digests"] = self.digests
        return Move(self.held, what, values, {"proof": self.proof})

    def verified(self) -> Move:
        """The move to PUBLISHING: all is written, and proven as far as it can be before."""
        values = {"proof": self.proof, "digests": self.digests}
        return Move(self.held, What.VERIFIED, values, before=(What.COPIED,))

    @property
    def digests(self) -> dict[str, str]:
        """What was read of the source, digested on the way."""
        return {"crc64nvme": self.digester.crc64nvme, "blake3": self.digester.blake3}


def move_batch(runtime: Runtime, tasks: Sequence[Task], on_error: OnError) -> None:
    """Move small files of one lane. Each file's errors are its own: ``on_error`` is told, the others go on.

    Raises ``LeaseLost``, and what the database raises.
    """
    with runtime.crowd.joined() as threads:
        _Batch(runtime, tasks, on_error, threads).run()


class _Batch:
    def __init__(self, runtime: Runtime, tasks: Sequence[Task], on_error: OnError, threads: int) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._on_error = on_error
        self._destination = runtime.backend(tasks[0].destination_storage)
        self._sync_all = self._destination.extras.sync  # once: layers make their extras anew at every look
        self._threads = 1 if self._is_local() else threads
        self._publishers = 1 if self._destination.limits.local else threads

    def run(self) -> None:
        asks = self._threads if any(map(self._asks, self._tasks)) else 1
        looked = self._each(self._look, self._tasks, lambda task: task, asks)
        items = [item for item in looked if item.held.state is FileState.COPYING]
        fresh = [item for item in looked if item.held.state is not FileState.COPYING]
        items += self._advance(fresh, [started(item.held, item.entry) for item in fresh])
        written = self._each(self._write, items, _task_of, self._threads)
        stored = [item for item in written if item.draft is None]
        self._keep(stored, self._runtime.work.stored([item.done(What.STORED) for item in stored]))
        self._publish([item for item in written if item.draft is not None])

    def _is_local(self) -> bool:
        """Whether both ends are on this machine: then threads only stand in each other's way."""
        source = self._tasks[0].source_storage
        return self._destination.limits.local and bool(source) and self._runtime.backend(source).limits.local

    def _asks(self, task: Task) -> bool:
        """Whether a look at this file asks a storage, or has one copy it."""
        return bool(task.old_drafts) or not is_known(task) or self._must_look(task)

    def _each(
        self, act: Callable[[A], B | None], things: Sequence[A], task_of: Callable[[A], Task], threads: int
    ) -> list[B]:
        """``act`` on each in a few threads; what fails, and what gives None, is left out."""

        def safely(thing: A) -> B | None:
            try:
                self._runtime.may_go_on(task_of(thing))
                return act(thing)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 one file's error, even a bug, must not touch the others
                self._on_error(task_of(thing), error)
                return None

        if threads == 1 or len(things) < 2:
            return [found for found in map(safely, things) if found is not None]
        results: list[B | None] = [None] * len(things)
        numbered = enumerate(things)  # shared: each thread takes the next one, which costs no future and no waking up

        def take() -> None:
            for number, thing in numbered:
                results[number] = safely(thing)

        with ThreadPoolExecutor(threads, thread_name_prefix="small") as pool:
            running = [pool.submit(take) for _ in range(threads)]
        try:
            while running:
                running.pop().result()
        finally:  # else the error would hold us, and we the error and the drafts with their open files
            running.clear()
        return [found for found in results if found is not None]

    def _look(self, task: Task) -> Item | None:
        """The file if it is to be copied in this batch; else it is settled here."""
        runtime, destination = self._runtime, self._destination
        source, path = runtime.source_of(task)
        if task.old_drafts and (move := recovered(runtime, task, source, path, destination)):
            runtime.work.move(move)
            return None
        entry = known_entry(task, path) or source_entry(runtime, task, source, path)
        if entry.size > SMALL:
            runtime.work.move(Move(task.held, What.RELEASE, {"size": entry.size, "source_version": entry.version}))
            return None
        if self._must_look(task) and (move := settled_already(runtime, task, source, entry, destination)):
            runtime.work.move(move)
            return None
        abandon(runtime, task.held.seq, destination, task.destination_path, task.old_drafts)
        return Item(task, source, path, entry, task.held)

    def _must_look(self, task: Task) -> bool:
        """Whether what is at the destination matters before writing; often the storage decides it by itself."""
        if task.overwrite is Overwrite.FAIL:
            return bool(task.old_drafts) or not self._destination.limits.atomic_no_replace
        return task.overwrite is not Overwrite.OVERWRITE

    def _write(self, item: Item) -> Item | None:
        """The file at its destination, or in a draft; None if it was settled meanwhile."""
        task, destination = item.task, self._destination
        if is_inside(task, destination) and not self._syncs_together(item):
            item.copied = copy_inside(self._runtime, replace(task, held=item.held), item.entry, destination)
            return item
        data = self._read(item)
        if task.overwrite in MAY_APPEAR:
            read = replace(task, held=item.held, source_version=item.entry.version, digests=item.digests)
            if move := appeared(self._runtime, read, item.source, item.entry, destination):
                self._runtime.work.move(move)
                return None
        with at(task.destination_storage):
            if 0 < destination.limits.put_max >= item.entry.size:
                digests = {"crc64nvme": item.digester.crc64nvme}
                put = partial(destination.put, task.destination_path, data, digests=digests, key=task.key)
                entry = or_made_before(task, destination, partial(put, if_absent=is_absent_only(task)))
                self._runtime.is_published(task)
                item.proof = prove(self._runtime, task, destination, entry, item.digester.crc64nvme, size=len(data))
            else:
                self._write_draft(item, data)
        return item

    def _syncs_together(self, item: Item) -> bool:
        """Whether a file that the storage could copy by itself is better copied as the others are: a copy is synced
        when it ends, and for a tiny file that takes longer than all the rest."""
        return self._sync_all is not None and item.entry.size <= TINY

    def _read(self, item: Item) -> bytearray:
        data = bytearray()
        size = item.entry.size
        listed = is_known(item.task) and not item.held.staged
        # A listing tells no digest: so the whole is asked for, with which S3 servers send theirs, not a range.
        length = None if listed and size else size
        buffers = item.source.read(item.path, 0, length, version=item.entry.version)
        for buffer in watched(self._runtime, item.task, buffers, item.digester):
            data += buffer
            if len(data) > size:
                break
        if len(data) != size:
            raise SourceChanged("the source has another size than was listed", path=item.path)
        if item.entry.digests:
            others = ALGORITHMS.keys() & item.entry.digests.keys() - item.digests.keys()
            found = {name: digest(name, [data]) for name in others}
            refuse_broken_promise(item.entry, {**item.digests, **found})
        return data

    def _write_draft(self, item: Item, data: bytearray) -> None:
        deferred = self._sync_all is not None
        path, size = item.task.destination_path, item.entry.size
        draft = self._destination.draft(path, size, key=item.task.key, deferred=deferred)
        view = memoryview(data)
        for block in cut(size, block_length(size, self._destination.limits)):
            piece = view[block.offset : block.offset + block.length]
            item.receipts.append(draft.write(block.number, block.offset, block.length, [piece]))
        draft.seal()
        item.draft = draft

    def _publish(self, items: list[Item]) -> None:
        if not items:
            return
        self._sync()
        items = self._each(self._verify, items, _task_of, self._publishers)
        identities = [item.draft.identity if item.draft else None for item in items]
        items = self._keep(items, self._runtime.work.publishing([item.verified() for item in items], identities))
        for item in items:
            self._runtime.is_published(item.task)
        items = self._each(self._publish_one, items, _task_of, self._publishers)
        self._sync()
        self._advance(items, [item.done(What.PUBLISHED) for item in items])

    def _verify(self, item: Item) -> Item:
        if item.task.verify is Verify.SIZE or not self._destination.limits.drafts_readable:
            return item
        assert item.draft is not None
        with at(item.task.destination_storage):
            if crc64nvme_of(item.draft.read(0, item.entry.size)) != item.digester.crc64nvme:
                raise DigestMismatch(
                    "the destination holds other bytes than were sent", path=item.task.destination_path
                )
        item.proof = Proof.A
        return item

    def _publish_one(self, item: Item) -> Item:
        assert item.draft is not None
        digest = item.digester.crc64nvme
        with at(item.task.destination_storage):
            absent_only = is_absent_only(item.task)
            entry = item.draft.publish(item.receipts, if_absent=absent_only, digests={"crc64nvme": digest})
        size = item.entry.size
        item.proof = item.proof or prove(self._runtime, item.task, self._destination, entry, digest, size=size)
        return item

    def _sync(self) -> None:
        if self._sync_all:
            with at(self._tasks[0].destination_storage):
                self._sync_all()

    def _advance(self, items: list[Item], moves: Sequence[Move]) -> list[Item]:
        """Write the moves; the items that are still ours, with their new state."""
        return self._keep(items, self._runtime.work.move_if_held(moves))

    def _keep(self, items: list[Item], held: Iterable[Held]) -> list[Item]:
        now = {one.seq: one for one in held}
        for item in items:
            if item.held.seq not in now:
                self._on_error(item.task, Fenced("another attempt has taken this file over, or it was stopped"))
        kept = [item for item in items if item.held.seq in now]
        for item in kept:
            item.held = now[item.held.seq]
        return kept


def _task_of(item: Item) -> Task:
    return item.task
