"""Pages of folders. Between two pages the scan stays open for a moment, so a walk through all pages costs one scan."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from typing import Final, TypeAlias

from scigate.storage_backends.backend import Entry

from .entries import view
from .resources import Entry as EntryView
from .resources import Page
from .storages import OpenStorage

KEPT: Final = 4  # scans; a scan may hold the names of a whole folder
IDLE: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan stands: what it lists, and the last entry given out."""

    storage: str
    folder: str
    recursive: bool
    after: str | None


Kept: TypeAlias = tuple[float, tuple[Entry, ...], Iterator[Entry]]
"""Since when a scan is kept, what was taken from it for the next page, and the scan itself: never one around another,
or each page of very many would cost more than the one before."""


class Listings:
    """Makes pages and keeps a few scans. A page behind ``after`` is right without them too, only slower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Place, Kept] = OrderedDict()

    def page(
        self, storage: OpenStorage, folder: str, after: str | None, *, recursive: bool, limit: int
    ) -> Page[EntryView]:
        """A page of a folder. Takes from the storage what the page holds, however large the folder is."""
        kept = self._taken(Place(storage.name, folder, recursive, after))
        ahead, scan = kept[1:] if kept else ((), storage.backend.scan(folder, after=after, recursive=recursive))
        found = list(islice(chain(ahead, scan), limit))
        following = next(scan, None) if len(found) == limit else None
        items = [view(storage, entry) for entry in found]
        if following is None:
            return Page(items=items)
        last = found[-1].path
        self._keep(Place(storage.name, folder, recursive, last), (following,), scan)
        return Page(items=items, next=last)

    def close(self) -> None:
        """Let go of all scans."""
        with self._lock:
            self._kept.clear()

    def _taken(self, place: Place) -> Kept | None:
        with self._lock:
            self._forget()
            return self._kept.pop(place, None)

    def _keep(self, place: Place, ahead: tuple[Entry, ...], scan: Iterator[Entry]) -> None:
        with self._lock:
            self._kept[place] = (time.monotonic(), ahead, scan)
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest scans; nobody else holds them, so dropping one closes it."""
        too_old = time.monotonic() - IDLE.total_seconds()
        while self._kept and (len(self._kept) > KEPT or next(iter(self._kept.values()))[0] < too_old):
            self._kept.popitem(last=False)
