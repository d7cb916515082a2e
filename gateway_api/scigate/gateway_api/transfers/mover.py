"""Moving one large file: look, copy its blocks into a draft, verify them, publish it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from scigate.storage_backends.backend import Backend, Draft, Entry, KiB, PartReceipt
from scigate.storage_backends.digests import ALGORITHMS
from scigate.storage_backends.digests import start as digests
from scigate.storage_backends.errors import AlreadyExists, DigestMismatch, Fenced, NotFound, SourceChanged

from ..resources import FileState, Overwrite, Proof, Verify
from .awaiting import await_end, is_growing
from .copying import Route, copy_blocks, damaged_blocks
from .differing import differing_blocks
from .ledger import Held, Move
from .looking import abandon, holds_same, or_made_before, refuse_broken_promise, source_entry, verdict, was_published
from .machine import What
from .planner import Verdict, block_length, cut
from .removal import remove_wrong
from .runtime import Runtime, at, combine, crc64nvme_of, guarded
from .tasks import DoneBlock, OldDraft, Task

log = logging.getLogger(__name__)
TINY: Final = 256 * KiB
"""Up to here a storage gives all bytes of a file in about the time in which it tells their number."""
MAY_APPEAR: Final = (Overwrite.NEWER, Overwrite.SKIP_SAME)  # policies that look again at what is at the destination
REPAIRS: Final = 3  # rounds in which damaged blocks are sent again, before the attempt ends


def move_large(runtime: Runtime, task: Task) -> None:
    """Take a claimed file to DONE. Every error leaves the records such that the next attempt goes on from there.

    Raises ``StorageError``, ``Stopped``, ``LeaseLost``; ``Fenced`` when another attempt owns the file.
    """
    source, path = runtime.source_of(task)
    destination = runtime.backend(task.destination_storage)
    if move := recovered(runtime, task, source, path, destination):
        runtime.work.move(move)
        return
    entry = replace(source_entry(runtime, task, source, path), path=path)
    if move := settled_already(runtime, task, source, entry, destination):
        runtime.work.move(move)
        return
    if is_inside(task, destination):
        _copy_inside(runtime, task, entry, destination)
        return
    route = Route(task, source, path, entry.version, destination, is_growing(runtime, task))
    _copy(runtime, route, entry, *_begin(runtime, route, entry))


def settled_already(runtime: Runtime, task: Task, source: Backend, entry: Entry, destination: Backend) -> Move | None:
    """The move of a file that needs no copying: the policy says skip, or a copy of ours is there that was cut off
    before it could say so. Raises ``AlreadyExists``."""
    size = {"size": entry.size, "bytes_done": entry.size}
    try:
        if verdict(runtime, task, source, entry, destination) is Verdict.SKIP:
            return Move(task.held, What.SKIPPED, {"skipped": True, "digests": {}, "proof": None, **size})
    except AlreadyExists:
        if not task.old_drafts or not holds_same(runtime, task, source, entry.path, destination):
            raise
        return Move(task.held, What.RECOVERED, {"proof": Proof.A, **size}, {"proof": Proof.A})
    return None


def appeared(runtime: Runtime, task: Task, source: Backend, entry: Entry, destination: Backend) -> Move | None:
    """The move of a file at whose destination somebody has put another one meanwhile, which the policy leaves alone.

    Looked at when all is copied, before it is published; ``task`` has the digests of what was read. What may not be
    replaced at all, the storage itself refuses.
    """
    if task.overwrite in MAY_APPEAR:
        return settled_already(runtime, task, source, entry, destination)
    return None


def recovered(runtime: Runtime, task: Task, source: Backend, path: str, destination: Backend) -> Move | None:
    """The move of a file that had been published when its gateway died: its identity and its content say so."""
    entry = was_published(task, destination)
    if entry is None or entry.size != task.held.size:
        return None
    if not holds_same(runtime, task, source, path, destination):
        return None
    if destination.extras.sync:  # it may have its name, but not yet for longer than a power cut
        with at(task.destination_storage):
            destination.extras.sync()
    return Move(task.held, What.RECOVERED, {"proof": Proof.A, "bytes_done": entry.size}, {"proof": Proof.A})


@dataclass(frozen=True, slots=True)
class Copied:
    """What a storage made by itself: how it was proven, and the digests that are known of it."""

    size: int
    proof: Proof
    digests: dict[str, str]

    def done(self, held: Held) -> Move:
        """The move to DONE, with its evidence."""
        values = {"proof": self.proof, "bytes_done": self.size, "digests": self.digests}
        return Move(held, What.STORED, values, {"proof": self.proof, "way": "copy"})


def is_inside(task: Task, destination: Backend) -> bool:
    """Whether the storage can copy the file by itself."""
    return task.source_storage == task.destination_storage and destination.extras.copy is not None


def _copy_inside(runtime: Runtime, task: Task, entry: Entry, destination: Backend) -> None:
    abandon(runtime, task.held.seq, destination, task.destination_path, task.old_drafts)
    held = start(runtime, task.held, entry)
    if not runtime.work.stored([copy_inside(runtime, task, entry, destination).done(held)]):
        raise Fenced("another attempt has taken this file over")


def copy_inside(runtime: Runtime, task: Task, entry: Entry, destination: Backend) -> Copied:
    """Let the storage copy by itself, and compare digests where it can tell them."""
    copy, held = destination.extras.copy, task.held
    assert copy is not None

    def progress(length: int) -> None:
        runtime.may_go_on(task)
        runtime.progress.passed(held.transfer, held.seq, length)

    runtime.may_go_on(task)
    if copied := _copied_and_read(runtime, task, entry, destination):
        return copied
    with at(task.destination_storage):
        make = partial(copy, task.source_path, task.destination_path, version=entry.version, progress=progress)
        made = or_made_before(task, destination, partial(make, if_absent=is_absent_only(task), key=task.key))
        runtime.is_published(task)
        proof = _proof_of_copy(runtime, task, entry, made, destination)
    return Copied(made.size, proof, {name: value for name, value in made.digests.items() if name == "crc64nvme"})


def _copied_and_read(runtime: Runtime, task: Task, entry: Entry, destination: Backend) -> Copied | None:
    """The copy of a file so small that to read it costs the storage no more than to look at it; None if it is to be
    made in the usual way, also when something is there: that may have been made before."""
    copy = destination.extras.copy_and_read
    if copy is None or entry.size > TINY or task.verify is Verify.SIZE:
        return None
    source, path = task.source_path, task.destination_path
    with at(task.destination_storage):
        try:
            made = copy(source, path, version=entry.version, if_absent=is_absent_only(task), key=task.key)
        except AlreadyExists:
            return None
        runtime.is_published(task)
        promised = entry.digests.get("crc64nvme", made.source)
        _require_same(destination, task, entry, made.entry, before=promised, after=made.copy)
    runtime.progress.passed(task.held.transfer, task.held.seq, made.entry.size)
    return Copied(made.entry.size, Proof.A, {"crc64nvme": made.copy})


def is_absent_only(task: Task) -> bool:
    """Whether the destination must not exist when the file is published."""
    return task.overwrite is Overwrite.FAIL


def start(runtime: Runtime, held: Held, entry: Entry) -> Held:
    """Write down which version of the source is copied, unless that was done with the claim."""
    return held if held.state is FileState.COPYING else runtime.work.move(started(held, entry))[0]


def started(held: Held, entry: Entry) -> Move:
    """The move that writes down which version of the source is copied."""
    modified = None if entry.modified is None else entry.modified.timestamp()
    return Move(held, What.START, {"size": entry.size, "source_version": entry.version, "source_modified": modified})


@dataclass(frozen=True, slots=True)
class _Begun:
    """A draft that is open, and what it holds already."""

    held: Held
    draft: Draft
    length: int


def _begin(runtime: Runtime, route: Route, entry: Entry) -> tuple[_Begun, Sequence[DoneBlock]]:
    task = route.task
    length = block_length(entry.size, route.destination.limits)
    held = start(runtime, task.held, entry)
    adopted = _adopt(runtime, route, entry, held)
    if adopted is not None:
        return adopted
    abandon(runtime, task.held.seq, route.destination, task.destination_path, task.old_drafts)
    held = runtime.work.forget_blocks(held)
    with at(task.destination_storage):
        draft = route.destination.draft(task.destination_path, entry.size, key=task.key)
    runtime.work.record_draft(held, draft.ref, length)
    return _Begun(held, draft, length), ()


def _adopt(runtime: Runtime, route: Route, entry: Entry, held: Held) -> tuple[_Begun, Sequence[DoneBlock]] | None:
    """Go on with the newest draft, if its writer has surely ended and the source is still the same."""
    task = route.task
    old = adoptable(task, entry)
    if old is None or old.ref is None or old.block_length is None:
        return None
    try:
        with at(task.destination_storage):
            draft = route.destination.draft(task.destination_path, entry.size, key=task.key, ref=old.ref)
    except NotFound:
        return None
    others = [other for other in task.old_drafts if other is not old]
    abandon(runtime, task.held.seq, route.destination, task.destination_path, others)
    runtime.work.record_draft(held, draft.ref, old.block_length)
    runtime.work.forget_drafts([(held.seq, old.epoch)])
    held, kept = _still_there(runtime, route, draft, held)
    return _Begun(held, draft, old.block_length), kept


def adoptable(task: Task, entry: Entry) -> OldDraft | None:
    """The newest draft that can be gone on with. An attempt that died before it recorded its own has not written to
    any, or has renamed an older one: then that is not found, and the file is begun anew."""
    same = task.source_version is not None and (entry.version, entry.size) == (task.source_version, task.held.size)
    recorded = (old for old in task.old_drafts if old.ref is not None and old.block_length is not None)
    return next(recorded, None) if task.adoptable and same else None


def _still_there(runtime: Runtime, route: Route, draft: Draft, held: Held) -> tuple[Held, Sequence[DoneBlock]]:
    """The recorded blocks that the storage still holds: asked, or read back where that can be done."""
    blocks = runtime.work.blocks(held)
    if route.destination.limits.drafts_readable:
        lost = {bad.block.number for bad in damaged_blocks(runtime, route, draft, blocks)}
    else:
        with at(route.task.destination_storage):
            parts = draft.parts()
        lost = {done.block.number for done in blocks if not _has(parts.get(done.block.number), done)}
    if lost:
        held = runtime.work.forget_blocks(held, sorted(lost))
    return held, [done for done in blocks if done.block.number not in lost]


def _has(part: PartReceipt | None, done: DoneBlock) -> bool:
    return part is not None and (part.length, part.token) == (done.block.length, done.token)


def _copy(runtime: Runtime, route: Route, entry: Entry, begun: _Begun, kept: Sequence[DoneBlock]) -> None:
    have = {done.block.number for done in kept}
    held, draft, task = begun.held, begun.draft, route.task
    for _ in range(REPAIRS):
        missing = [block for block in cut(entry.size, begun.length) if block.number not in have]
        held = copy_blocks(runtime, route, draft, held, missing)
        await_end(runtime, route.task)
        runtime.may_go_on(route.task)
        with at(route.task.destination_storage):
            draft.seal()
        entry = _unchanged_source(runtime, route, entry)
        blocks = runtime.work.blocks(held)
        read = replace(task, held=held, source_version=entry.version, digests={"crc64nvme": combine(blocks)})
        if move := appeared(runtime, read, route.source, entry, route.destination):
            draft.discard()
            runtime.work.move(move)
            return
        held = runtime.work.move(Move(held, What.COPIED))[0]
        bad = _damaged(runtime, route, draft, blocks)
        if not bad:
            try:
                _require_promise(runtime, route, entry, draft, combine(blocks))
                _publish(runtime, route, draft, held, blocks)
                return
            except DigestMismatch:
                bad = [] if route.growing else differing_blocks(runtime, route, draft, blocks)
                now = runtime.work.current(held)
                if not bad or now is None:
                    raise
                held = now
                runtime.is_published(task, published=False)
        held = _send_again(runtime, held, bad)
        have -= {done.block.number for done in bad}
        have |= {done.block.number for done in blocks} - {done.block.number for done in bad}
    raise DigestMismatch(
        f"{len(bad)} blocks are damaged again after {REPAIRS} rounds", path=route.task.destination_path
    )


def _damaged(runtime: Runtime, route: Route, draft: Draft, blocks: Sequence[DoneBlock]) -> list[DoneBlock]:
    if route.task.verify is Verify.SIZE or not route.destination.limits.drafts_readable or route.verified_at_once:
        return []
    return damaged_blocks(runtime, route, draft, blocks)


def _require_promise(runtime: Runtime, route: Route, entry: Entry, draft: Draft, crc64nvme: str) -> None:
    """Compare with what the source promises. Digests that blocks cannot be combined to cost a second pass: over the
    draft where that can be read, else over the source."""
    found = {"crc64nvme": crc64nvme}
    promised = [name for name in ALGORITHMS if name in entry.digests]
    if promised and "crc64nvme" not in entry.digests:
        if route.destination.limits.drafts_readable:
            again = draft.read(0, entry.size)
        else:
            again = route.source.read(route.source_path, version=entry.version)
        running = digests(["crc64nvme", promised[0]])
        for buffer in guarded(runtime, route.task, again):
            for one in running.values():
                one.update(buffer)
        found[promised[0]] = running[promised[0]].hexdigest()
        if running["crc64nvme"].hexdigest() != crc64nvme:
            raise DigestMismatch("what is read the second time differs from what was sent", path=route.source_path)
    refuse_broken_promise(entry, found)


def _send_again(runtime: Runtime, held: Held, bad: Sequence[DoneBlock]) -> Held:
    numbers = sorted(done.block.number for done in bad)
    log.warning("file %s: %d damaged blocks are sent again", held.seq, len(numbers))
    held = runtime.work.move(Move(held, What.DAMAGED, note={"blocks": tuple(numbers[:100]), "count": len(numbers)}))[0]
    return runtime.work.forget_blocks(held, numbers)


def _unchanged_source(runtime: Runtime, route: Route, entry: Entry) -> Entry:
    """The end of a long copy: is the source still what it was? (Reads with a version have checked each block.) Returns
    it as it is now: one that was still received may have its digests only since."""
    now = source_entry(runtime, route.task, route.source, route.source_path)
    if (now.version, now.size) != (entry.version, entry.size):
        raise SourceChanged("the source changed while it was copied", path=route.source_path)
    return replace(now, path=entry.path)


def _publish(runtime: Runtime, route: Route, draft: Draft, held: Held, blocks: Sequence[DoneBlock]) -> None:
    task, digest = route.task, combine(blocks)
    proven = Proof.A if task.verify is not Verify.SIZE and route.destination.limits.drafts_readable else None
    verified = Move(held, What.VERIFIED, {"proof": proven, "digests": {"crc64nvme": digest}})
    publishing = runtime.work.publishing([verified], [draft.identity])
    if not publishing:
        raise Fenced("another attempt has taken this file over, or its owner has stopped it")
    runtime.is_published(task)
    runtime.may_go_on(task)
    receipts = [PartReceipt(d.block.number, d.block.offset, d.block.length, d.token) for d in blocks]
    with at(task.destination_storage):
        entry = draft.publish(receipts, if_absent=is_absent_only(task), digests={"crc64nvme": digest})
    size = sum(done.block.length for done in blocks)
    proof = proven or prove(runtime, task, route.destination, entry, digest, size=size)
    values = {"proof": proof, "bytes_done": entry.size}
    runtime.work.move(Move(publishing[0], What.PUBLISHED, values, {"proof": proof, "blocks": len(blocks)}))


def prove(runtime: Runtime, task: Task, destination: Backend, entry: Entry, digest: str, *, size: int) -> Proof:
    """The grade of proof of an object that could only be looked at once it was published. Another size than was sent
    has one that an earlier attempt had asked for, before the source changed.

    Wrong bytes are removed again, for a file that is missing is better than one that lies. Raises ``DigestMismatch``.
    """
    if task.verify is Verify.SIZE and entry.size == size:
        return Proof.D
    stored = entry.digests.get("crc64nvme") if task.verify is Verify.AUTO else None
    with at(task.destination_storage):
        grade = Proof.A if stored is None else Proof.B
        if stored is None:
            stored = crc64nvme_of(guarded(runtime, task, destination.read(task.destination_path)))
        if stored != digest:
            outcome = remove_wrong(destination, replace(entry, path=task.destination_path))
            raise DigestMismatch(f"the storage holds other bytes than were sent; {outcome}", path=entry.path)
    return grade


def _proof_of_copy(runtime: Runtime, task: Task, source: Entry, made: Entry, storage: Backend) -> Proof:
    _require_same(storage, task, source, made)
    if task.verify is Verify.SIZE:
        return Proof.D
    before, after = source.digests.get("crc64nvme"), made.digests.get("crc64nvme")
    if task.verify is Verify.AUTO and before is not None and after is not None:
        digest, proof = after, Proof.B
    else:
        digest = crc64nvme_of(guarded(runtime, task, storage.read(task.destination_path)))
        before = before or crc64nvme_of(guarded(runtime, task, storage.read(task.source_path, version=source.version)))
        proof = Proof.A
    _require_same(storage, task, source, made, before=before, after=digest)
    return proof


def _require_same(
    storage: Backend, task: Task, source: Entry, made: Entry, *, before: str | None = None, after: str | None = None
) -> None:
    """Compare a copy with its source, in their sizes and digests. One that differs in these is removed, if it is ours
    still."""
    if made.size != source.size:
        raise SourceChanged("the source changed while it was copied", path=task.source_path)
    if after != before:
        outcome = remove_wrong(storage, replace(made, path=task.destination_path))
        raise DigestMismatch(f"the bytes of the copy differ from its source; {outcome}", path=task.destination_path)
