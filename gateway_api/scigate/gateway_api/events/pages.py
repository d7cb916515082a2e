"""Pages of the journal that somebody is reading now, shared by all who read the same. Thread-safe."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from operator import attrgetter
from typing import Final

from .journal import Scan
from .ring import Interest

KEPT: Final = 64
"""Pages in memory."""

_ID: Final = attrgetter("id")


class Pages:
    """The pages read last. A follower takes a few lines at a time from one, so that it holds none itself."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._pages: OrderedDict[tuple[Interest, int], Scan] = OrderedDict()
        self._starts: dict[Interest, list[int]] = {}

    def add(self, interest: Interest, after: int, page: Scan) -> None:
        """Keep a page that begins behind ``after``, while it is among the newest. The journal's end is not kept."""
        if page.cursor == after or page.end:
            return
        with self._lock:
            if (interest, after) not in self._pages:
                starts = self._starts.setdefault(interest, [])
                starts.insert(bisect_right(starts, after), after)
            self._pages[interest, after] = page
            while len(self._pages) > self._kept:
                self._drop()

    def take(self, interest: Interest, after: int, most: int) -> Scan | None:
        """The next lines behind ``after``; None if they are in no page."""
        with self._lock:
            starts = self._starts.get(interest, ())
            place = bisect_right(starts, after)
            page = self._pages[interest, starts[place - 1]] if place else None
        return None if page is None or page.cursor <= after else _part(page, after, most)

    def _drop(self) -> None:
        (interest, after), _ = self._pages.popitem(last=False)
        self._starts[interest].remove(after)
        if not self._starts[interest]:
            del self._starts[interest]


def _part(page: Scan, after: int, most: int) -> Scan:
    first = bisect_right(page.lines, after, key=_ID)
    lines = page.lines[first : first + most]
    whole = first + most >= len(page.lines)
    return Scan(lines, page.cursor if whole else lines[-1].id, end=False)
