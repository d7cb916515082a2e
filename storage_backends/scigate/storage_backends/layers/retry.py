"""A second and third try, at once, of small questions that change nothing.

It spares the engine a whole attempt when one request of a healthy storage fails. Whatever takes longer, moves bytes
or changes something is the engine's to retry, which knows the deadline and who is waiting.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Final, TypeVar

from ..backend import Backend, Entry, Extras
from ..errors import ErrorKind, StorageError, Throttled
from .layer import Layer

T = TypeVar("T")
HARMLESS: Final = frozenset({"stat", "parts", "abandon", "free", "total"})
PAUSES: Final = (timedelta(milliseconds=100), timedelta(milliseconds=400))  # at most, before each further try
RETRIED: Final = frozenset({ErrorKind.TRANSIENT, ErrorKind.THROTTLED})


class RetryLayer(Layer):
    """Asks again after a transient failure: ``stat``, ``parts``, ``abandon``, ``free``, ``total``, the start of a
    scan."""

    def __init__(self, inner: Backend, pauses: tuple[timedelta, ...] = PAUSES) -> None:
        super().__init__(inner)
        self._pauses = pauses

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        return self._retried(run) if operation in HARMLESS else run()

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        """A scan that broke off in the middle goes on with ``after``, which its caller knows."""
        first, rest = self._retried(lambda: _begun(start()))
        yield from chain(first, rest)

    def _retried(self, run: Callable[[], T]) -> T:
        for pause in self._pauses:
            try:
                return run()
            except StorageError as error:
                wished = error.retry_after if isinstance(error, Throttled) else None
                if error.kind not in RETRIED or (wished is not None and wished > pause):
                    raise
                time.sleep((wished or pause * random.random()).total_seconds())  # noqa: S311 full jitter, no secret
        return run()


def _begun(entries: Iterator[Entry]) -> tuple[list[Entry], Iterator[Entry]]:
    """The first entry, if there is one, and the others; asking for it is what can fail."""
    for entry in entries:
        return [entry], entries
    return [], entries
