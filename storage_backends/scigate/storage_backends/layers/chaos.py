"""Faults by rule, to see what happens: for tests, and for administrators who rehearse a bad day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from ..backend import Backend, Buffer, Entry, Extras
from ..errors import StorageError
from .layer import Layer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with every ``every``-th call of ``operation`` (``*``: of any) whose path contains ``path``.

    ``delay`` comes first, then ``error``. ``flip`` turns one bit of the byte at this offset of the file in what is
    read or written; ``cut`` ends a read or the data of a block at this offset, without an error.
    """

    operation: str
    every: int = 1
    path: str = ""
    delay: timedelta = timedelta()
    error: type[StorageError] | None = None
    flip: int | None = None
    cut: int | None = None


class ChaosLayer(Layer):
    """Does what its faults say, in a repeatable way: calls are counted, nothing is random."""

    def __init__(self, inner: Backend, faults: Iterable[Fault]) -> None:
        super().__init__(inner)
        self._faults = tuple(faults)
        self._calls = [0] * len(self._faults)
        self._lock = threading.Lock()

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        if operation != "write":  # the faults of a write are in ``writing``, where its data pass
            _strike(self._due(operation, path), operation, path)
        return run()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        due = self._due("read", path)
        _strike(due, "read", path)
        yield from _spoilt(start(), offset, due)

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        _strike(self._due("scan", prefix), "scan", prefix)
        yield from start()

    def writing(self, path: str, offset: int, buffers: Iterable[Buffer]) -> Iterable[Buffer]:
        due = self._due("write", path)
        _strike(due, "write", path)
        return _spoilt(buffers, offset, due)

    def _due(self, operation: str, path: str) -> list[Fault]:
        due = []
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.operation in ("*", operation) and fault.path in path:
                    self._calls[index] += 1
                    if self._calls[index] % fault.every == 0:
                        due.append(fault)
        return due


def _strike(due: Iterable[Fault], operation: str, path: str) -> None:
    for fault in due:
        time.sleep(fault.delay.total_seconds())
        if fault.error is not None:
            raise fault.error(f"a rehearsed fault of {operation}", path=path)


def _spoilt(buffers: Iterable[Buffer], offset: int, due: Iterable[Fault]) -> Iterator[Buffer]:
    flips = [fault.flip for fault in due if fault.flip is not None]
    end = min((fault.cut for fault in due if fault.cut is not None), default=None)
    for buffer in buffers:
        data = buffer if end is None else memoryview(buffer)[: max(end - offset, 0)]
        for flip in flips:
            if offset <= flip < offset + len(data):
                data = bytearray(data)
                data[flip - offset] ^= 1
        offset += len(buffer)
        if data:
            yield data
