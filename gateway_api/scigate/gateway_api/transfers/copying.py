"""Moving the blocks of one large file through a few threads, and reading them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from scigate.storage_backends.backend import Backend, Draft
from scigate.storage_backends.errors import DigestMismatch, ErrorKind, StorageError

from ..resources import Verify
from .awaiting import await_bytes
from .ledger import Held
from .planner import Block
from .runtime import Digester, Runtime, at, crc64nvme_of, done_block, guarded, watched
from .tasks import DoneBlock, Task

BLOCK_TRIES: Final = 3  # a block that fails is sent again by itself this often before the attempt ends
RECORD_EVERY: Final = 0.1  # seconds: blocks done within it are recorded in one commit
RECORD_AT_MOST: Final = 32
_WORTH_A_TRY: Final = frozenset({ErrorKind.TRANSIENT, ErrorKind.INTEGRITY})

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where the bytes of a task go, with the version of the source that was promised."""

    task: Task
    source: Backend
    source_path: str
    version: str | None
    destination: Backend
    growing: bool = False
    """The source is still received: while its bytes come there is time to read every block back at once."""

    @property
    def verified_at_once(self) -> bool:
        """Whether a block is verified before it counts as done, and need not be looked at in the end."""
        verify = self.task.verify is not Verify.SIZE
        return self.growing and verify and self.destination.limits.drafts_readable


def copy_blocks(runtime: Runtime, route: Route, draft: Draft, held: Held, missing: Iterable[Block]) -> Held:
    """Move the missing blocks; each is recorded when it is at the draft. Returns the file as it is then."""
    recorded_at = time.monotonic()
    finished: list[DoneBlock] = []
    try:
        for done in _in_threads(runtime, route, lambda block: _copy_block(runtime, route, draft, block), missing):
            finished.append(done)
            late = time.monotonic() - recorded_at > RECORD_EVERY or route.growing  # the next one may take its time
            if late or len(finished) >= RECORD_AT_MOST:
                held, recorded_at = _record(runtime, held, finished), time.monotonic()
    finally:
        held = _record(runtime, held, finished)
    return held


def damaged_blocks(runtime: Runtime, route: Route, draft: Draft, blocks: Sequence[DoneBlock]) -> list[DoneBlock]:
    """The blocks of which the draft does not hold what was sent."""

    def read_back(done: DoneBlock) -> DoneBlock | None:
        return None if is_intact(runtime, route, draft, done) else done

    return [bad for bad in _in_threads(runtime, route, read_back, blocks) if bad is not None]


def is_intact(runtime: Runtime, route: Route, draft: Draft, done: DoneBlock) -> bool:
    """Whether the draft holds this block as it was sent; decided by its CRC-64/NVME."""
    with at(route.task.destination_storage):
        stored = draft.read(done.block.offset, done.block.length)
        return crc64nvme_of(guarded(runtime, route.task, stored)) == done.crc64nvme


def _record(runtime: Runtime, held: Held, finished: list[DoneBlock]) -> Held:
    if not finished:
        return held
    # Not counted as moving any more before they are recorded: what is shown may be late, never more than is there.
    runtime.progress.recorded(held.seq, sum(done.block.length for done in finished))
    held = runtime.work.record_blocks(held, finished)
    finished.clear()
    return held


def _copy_block(runtime: Runtime, route: Route, draft: Draft, block: Block) -> DoneBlock:
    for left in reversed(range(BLOCK_TRIES)):
        try:
            return _copy_once(runtime, route, draft, block)
        except StorageError as error:
            if error.kind not in _WORTH_A_TRY or not left:
                raise
            time.sleep(0.1 * (BLOCK_TRIES - left))
    raise AssertionError("the last try returns or raises")


def _copy_once(runtime: Runtime, route: Route, draft: Draft, block: Block) -> DoneBlock:
    task, digester = route.task, Digester()
    runtime.may_go_on(task)
    await_bytes(runtime, task, block.offset + block.length)
    buffers = route.source.read(route.source_path, block.offset, block.length, version=route.version)
    try:
        with at(task.destination_storage):
            receipt = draft.write(block.number, block.offset, block.length, watched(runtime, task, buffers, digester))
    except StorageError:
        runtime.progress.recorded(task.held.seq, digester.length)
        raise
    if receipt.length != block.length:
        raise DigestMismatch(f"block {block.number} was stored with {receipt.length} of {block.length} bytes")
    done = done_block(block, digester, receipt.token)
    if route.verified_at_once and not is_intact(runtime, route, draft, done):
        raise DigestMismatch(f"block {block.number} is not stored as it was sent", path=task.destination_path)
    return done


def _in_threads(runtime: Runtime, route: Route, act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``act`` on every item, in a few threads, lazily; results in the order in which they come. The first error ends
    it, after what has begun is over."""
    streams = 1 if route.destination.limits.sequential else min(runtime.streams, route.source.limits.concurrency)
    todo = iter(items)
    with ThreadPoolExecutor(streams, thread_name_prefix="block") as pool:
        running: set[Future[R]] = {pool.submit(act, item) for item in islice(todo, streams)}
        while running:
            over, running = wait(running, return_when=FIRST_COMPLETED)
            yield from _results(over, running)
            running |= {pool.submit(act, item) for item in islice(todo, len(over))}


def _results(over: set[Future[Any]], running: set[Future[Any]]) -> Iterator[Any]:
    """Good results first, so that they are recorded before an error ends the file."""
    failed = [future for future in over if future.exception()]
    yield from (future.result() for future in over if not future.exception())
    if not failed:
        return
    wait(running)
    yield from (future.result() for future in running if not future.exception())
    try:
        failed[0].result()
    finally:  # else the error would hold us, and we the error and the draft with its open file, until nobody knows when
        failed.clear()
        over.clear()
        running.clear()
