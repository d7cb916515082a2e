"""What everybody who moves bytes needs at hand, and how a running file is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Final

from awscrt import checksums
from blake3 import blake3
from scigate.storage_backends.backend import Backend, Buffer
from scigate.storage_backends.errors import StorageError

from .crowd import Crowd
from .lease import Lease
from .planner import Block
from .progress import LiveProgress
from .rates_kept import Rates
from .receiving import Receiving
from .scheduler import Breaker
from .tasks import DoneBlock, Task
from .work import Work

OpenUrl = Callable[[str], tuple[Backend, str]]
"""An outside URL → a backend that reads it, and the path it has there."""

OUTSIDE: Final = "outside"


class Stop(StrEnum):
    """Why a running file stops."""

    PAUSE = "pause"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"


class Stopped(Exception):
    """The file was told to stop."""

    def __init__(self, why: Stop) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True)
class StopSign:
    """Raised by the engine, looked at between buffers. What is being ``published`` ends, whatever its owner asks."""

    why: Stop | None = None
    published: bool = False

    def check(self) -> None:
        """Raises ``Stopped``."""
        if self.why is Stop.SHUTDOWN or (self.why is not None and not self.published):
            raise Stopped(self.why)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The surroundings of a move."""

    work: Work
    receiving: Receiving
    lease: Lease
    backend: Callable[[str], Backend]
    open_url: OpenUrl
    progress: LiveProgress
    breaker: Breaker
    streams: int
    crowd: Crowd
    rates: Rates
    signs: dict[int, StopSign] = field(default_factory=dict)
    claiming: threading.Lock = field(default_factory=threading.Lock)
    """Held from a claim until its files have their signs."""

    def source_of(self, task: Task) -> tuple[Backend, str]:
        """The backend that reads the source, and the source's path there."""
        if task.source_storage:
            return self.backend(task.source_storage), task.source_path
        return self.open_url(task.source_path)

    def may_go_on(self, task: Task) -> None:
        """Before every side effect and between buffers. Raises ``LeaseLost`` or ``Stopped``."""
        self.lease.check()
        if sign := self.signs.get(task.held.seq):
            sign.check()

    def is_published(self, task: Task, *, published: bool = True) -> None:
        """From now on only the end of the gateway stops this file; or, with ``published`` false, its owner again."""
        if sign := self.signs.get(task.held.seq):
            sign.published = published


def at(storage: str) -> _At:
    """Errors from inside are of this storage, unless they say otherwise."""
    return _At(storage)


class _At:
    """A class of its own, because a generator cost more than what it guards in small calls."""

    __slots__ = ("_storage",)

    def __init__(self, storage: str) -> None:
        self._storage = storage

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, StorageError):
            error.storage = error.storage or self._storage or OUTSIDE


class Digester:
    """The digests of a block, taken while its buffers are hot in cache."""

    __slots__ = ("_blake3", "_crc", "length")

    def __init__(self) -> None:
        self.length = 0
        self._crc = 0
        self._blake3 = blake3()

    def update(self, buffer: Buffer) -> None:
        """Take in the next buffer."""
        self.length += len(buffer)
        self._crc = checksums.crc64nvme(buffer, self._crc)
        self._blake3.update(buffer)

    @property
    def crc64nvme(self) -> str:
        return f"{self._crc:016x}"

    @property
    def blake3(self) -> str:
        return self._blake3.hexdigest()


def crc64nvme_of(buffers: Iterable[Buffer]) -> str:
    """The CRC-64/NVME of a stream."""
    crc = 0
    for buffer in buffers:
        crc = checksums.crc64nvme(buffer, crc)
    return f"{crc:016x}"


def combine(blocks: Iterable[DoneBlock]) -> str:
    """The CRC-64/NVME of the whole object from those of its blocks, in order."""
    crc = 0
    for done in blocks:
        crc = checksums.combine_crc64nvme(crc, int(done.crc64nvme, 16), done.block.length)
    return f"{crc:016x}"


def watched(runtime: Runtime, task: Task, buffers: Iterable[Buffer], digester: Digester) -> Iterator[Buffer]:
    """Pass the source's buffers on: counted, digested, and stopped when the file is told to."""
    with at(task.source_storage):
        for buffer in buffers:
            runtime.may_go_on(task)
            digester.update(buffer)
            runtime.progress.passed(task.held.transfer, task.held.seq, len(buffer))
            yield buffer


def guarded(runtime: Runtime, task: Task, buffers: Iterable[Buffer]) -> Iterator[Buffer]:
    """Pass buffers on until the file is told to stop."""
    for buffer in buffers:
        runtime.may_go_on(task)
        yield buffer


def done_block(block: Block, digester: Digester, token: str) -> DoneBlock:
    """A block that has been written."""
    return DoneBlock(block, digester.crc64nvme, digester.blake3, token)
