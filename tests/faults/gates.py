"""Stopping a copy in its middle, so that a test can do something to its source or its destination."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from scigate.storage_backends.backend import Backend, Buffer
from scigate.storage_backends.layers import Layer

from .stand import Stand


class Gate(Layer):
    """Holds readers when ``until`` bytes have passed, until ``open``; ``reached`` says that one is held."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, inner: Backend, until: int) -> None:
        super().__init__(inner)
        self.until, self.passed = until, 0
        self.opened, self.reached = threading.Event(), threading.Event()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        buffers = start()
        while True:
            if self.passed >= self.until and not self.opened.is_set():
                self.reached.set()
                while not self.opened.wait(0.02):
                    yield b""  # slow, not silent: who reads looks whether to go on
            if (buffer := next(buffers, None)) is None:
                return
            self.passed += len(buffer)
            yield buffer


def gate(stand: Stand, storage: str, until: int) -> Gate:
    """A gate in front of a storage of a gateway that has been started."""
    storages = stand.service._storages
    opened = storages.get(storage)
    backend = opened.backend.inner if isinstance(opened.backend, Gate) else opened.backend
    made = Gate(backend, until)
    storages._open[storage] = replace(opened, backend=made)
    return made
