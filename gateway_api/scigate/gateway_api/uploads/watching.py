"""Uploads that end while their senders send: their owners have cancelled the transfer, or its file has failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..problems import Problem
from . import rows
from .store import PORTION, UploadStore
from .writer import Writer

EVERY: Final = 0.5  # seconds between two looks


class Watch:
    """Who sends now. Thread-safe. ``busy`` tells the uploads that a request is at, ``remove`` gives up the bytes of
    those that are over."""

    def __init__(
        self, store: UploadStore, busy: Callable[[], set[str]], remove: Callable[[Sequence[Any]], None]
    ) -> None:
        self._store, self._busy, self._remove = store, busy, remove
        self._lock = threading.Lock()
        self._writers: dict[str, Writer] = {}
        self._ending: set[str] = set()
        self._looked = float("-inf")

    def begin(self, id: str, writer: Writer) -> None:
        """This request sends; a newer one takes its place."""
        with self._lock:
            self._writers[id] = writer

    def end(self, id: str, writer: Writer) -> None:
        """This request is over."""
        with self._lock:
            if self._writers.get(id) is writer:
                del self._writers[id]

    def ending(self, id: str) -> None:
        """This upload ends; its bytes shall go as soon as nobody needs them."""
        with self._lock:
            self._ending.add(id)

    def look(self) -> None:
        """Tell those whose uploads have ended, and remove what they leave. To be called often: it rarely does much."""
        if time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        with self._lock:
            writers, ending = dict(self._writers), list(self._ending)
        for first in range(0, len(ids := list(writers)), PORTION):
            for row in self._store.stopped(ids[first : first + PORTION]):
                self._tell(writers[row.id], row)
        for first in range(0, len(ending), PORTION):
            self._give_up(ending[first : first + PORTION])

    def _tell(self, writer: Writer, row: Any) -> None:
        try:
            rows.refuse_gone(row)
            rows.refuse_failed(row)
        except Problem as problem:
            writer.refuse(problem)
            self.ending(row.id)

    def _give_up(self, ids: Sequence[str]) -> None:
        busy = self._busy() & set(ids)
        self._remove(self._store.over(busy, only=ids))
        waiting = busy | self._store.ending(ids)
        with self._lock:
            self._ending -= set(ids) - waiting
