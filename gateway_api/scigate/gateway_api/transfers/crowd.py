"""How many threads move small files at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ENOUGH: Final = 8  # threads of all batches together that keep a core busy
BUSY: Final = 0.5  # of a core: from here on more threads do not help
LOOK_EVERY: Final = 0.5  # seconds


class Crowd:
    """How many threads a batch of small files gets.

    Many hide the latency of a distant storage; but when this process keeps a core busy already, they only wake each
    other up. Measured: 32 threads took a quarter longer than 8 to a storage on the same machine.
    """

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._batches = 0
        self._looked = (time.monotonic(), time.process_time())
        self._is_busy = True  # until it is known
        self._lock = threading.Lock()

    @contextmanager
    def joined(self) -> Iterator[int]:
        """While a batch runs: the number of threads that it may use."""
        with self._lock:
            self._batches += 1
            threads = self._streams if not self._busy() else max(1, min(self._streams, ENOUGH // self._batches))
        try:
            yield threads
        finally:
            with self._lock:
                self._batches -= 1

    def _busy(self) -> bool:
        wall, cpu = time.monotonic(), time.process_time()
        since, used = wall - self._looked[0], cpu - self._looked[1]
        if since >= LOOK_EVERY:
            self._is_busy, self._looked = used / since > BUSY, (wall, cpu)
        return self._is_busy
