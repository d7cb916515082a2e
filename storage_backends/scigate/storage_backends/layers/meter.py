"""Counts what a storage does, for the metrics of the gateway."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ..backend import Backend, Buffer, Entry, Extras
from ..errors import StorageError
from .layer import Layer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Totals:
    """What one operation added up to: calls ended, bytes moved, seconds spent at the storage, errors by code."""

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Counted:
    """The same while it is counted: several times for every small file."""

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


class Meter:
    """The totals of one storage by operation (``stat``, ``read``, ``write`` …). Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, _Counted] = {}

    def add(self, operation: str, *, size: int, seconds: float, error: StorageError | None = None) -> None:
        """One call of ``operation`` has ended."""
        with self._lock:
            if (counted := self._counted.get(operation)) is None:
                counted = self._counted[operation] = _Counted()
            counted.calls += 1
            counted.bytes += size
            counted.seconds += seconds
            if error is not None:
                counted.errors[error.code] += 1

    def totals(self) -> Mapping[str, Totals]:
        """A snapshot by operation."""
        with self._lock:
            found = self._counted.items()
            return {name: Totals(of.calls, of.bytes, of.seconds, Counter(of.errors)) for name, of in found}


class MeterLayer(Layer):
    """Adds every call to a meter. Of a read or scan only the time spent inside the storage counts."""

    def __init__(self, inner: Backend, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)
        self.meter, self._clock = meter, clock

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        began = self._clock()
        try:
            result = run()
        except StorageError as error:
            self.meter.add(operation, size=0, seconds=self._clock() - began, error=error)
            raise
        self.meter.add(operation, size=size, seconds=self._clock() - began)
        return result

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        return self._metered("read", start, len)

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        return self._metered("scan", start, lambda entry: 0)

    def _metered(self, operation: str, start: Callable[[], Iterator[T]], size_of: Callable[[T], int]) -> Iterator[T]:
        size, seconds, error, items = 0, 0.0, None, None
        try:
            while True:
                began = self._clock()
                items = start() if items is None else items
                item = next(items, None)
                seconds += self._clock() - began
                if item is None:
                    return
                size += size_of(item)
                yield item
        except StorageError as raised:
            seconds, error = seconds + self._clock() - began, raised
            raise
        finally:
            self.meter.add(operation, size=size, seconds=seconds, error=error)
