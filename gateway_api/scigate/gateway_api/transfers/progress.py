"""Bytes on the move: what is not recorded yet, and how fast it goes. In memory; a restart begins anew."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from .expected import Kind
from .rates import Points, Track

WINDOW: Final = 10.0  # seconds over which a rate is measured
TICK: Final = 0.5  # seconds of one bucket
WAITS: Final = 1.0  # seconds after which a file that waits for its sender is said to wait


class LiveProgress:
    """Counts bytes as they pass. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moving: dict[int, int] = defaultdict(int)
        self._transfer_of: dict[int, int] = {}
        self._buckets: dict[int, deque[tuple[float, int]]] = defaultdict(deque)
        self._tracks: dict[int, Track] = {}  # of large files
        self._waits: dict[int, float] = {}  # file → since when it waits for its sender, while it does

    def passed(self, transfer: int, file: int, length: int) -> None:
        """``length`` bytes of a file have passed; they are not recorded yet."""
        with self._lock:
            self._moving[file] += length
            self._waits.pop(file, None)
            self._transfer_of[file] = transfer
            now = time.monotonic()
            self._add_to_bucket(transfer, length, now)
            if (track := self._tracks.get(file)) is not None:
                track.passed(length, now)

    def recorded(self, file: int, length: int) -> None:
        """``length`` bytes are recorded now, or were lost."""
        with self._lock:
            self._moving[file] = max(0, self._moving[file] - length)

    def ended(self, file: int) -> None:
        """Nothing of this file moves any more."""
        with self._lock:
            self._moving.pop(file, None)
            self._transfer_of.pop(file, None)
            self._waits.pop(file, None)

    def waits(self, file: int) -> None:
        """Who moves this file has nothing to do until more of the upload may be read; said again while it waits."""
        with self._lock:
            self._waits.setdefault(file, time.monotonic())
            if (track := self._tracks.get(file)) is not None:
                track.kind = Kind.SENDER

    def waits_long(self, file: int) -> bool:
        """Whether nothing of this file has passed since it began to wait, a while ago."""
        with self._lock:
            since = self._waits.get(file)
            return since is not None and time.monotonic() - since >= WAITS

    def moving_file(self, file: int) -> int:
        """Bytes of a file beyond what is recorded."""
        with self._lock:
            return self._moving.get(file, 0)

    def moving_of(self, files: Iterable[int]) -> int:
        """The same of several."""
        with self._lock:
            return sum(self._moving.get(file, 0) for file in files)

    def moving(self, transfer: int) -> int:
        """The same of a whole transfer."""
        with self._lock:
            return sum(self._moving.get(file, 0) for file, of in self._transfer_of.items() if of == transfer)

    def rate(self, transfer: int) -> float | None:
        """Bytes per second over the last seconds; None if nothing has passed in them."""
        now = time.monotonic()
        with self._lock:
            buckets = self._buckets.get(transfer)
            if not buckets:
                return None
            while buckets and buckets[0][0] < now - WINDOW:
                buckets.popleft()
            if not buckets:
                del self._buckets[transfer]
                return None
            return sum(length for _, length in buckets) / max(now - buckets[0][0], TICK)

    def follow(self, track: Track) -> None:
        """From now on the bytes of its file are its."""
        with self._lock:
            self._tracks[track.file] = track

    def leave(self, track: Track) -> None:
        """Its attempt is over; perhaps the next one at the same file is followed already."""
        with self._lock:
            if self._tracks.get(track.file) is track:
                del self._tracks[track.file]

    def tracks(self, transfer: int) -> list[tuple[Track, Points]]:
        """The attempts of a transfer that are under way, with what is known of their rates."""
        with self._lock:
            return [(track, track.points()) for track in self._tracks.values() if track.transfer == transfer]

    def total(self) -> float:
        """Bytes per second over the last seconds, of all together."""
        return sum(self.rate(of) or 0.0 for of in self.busy())

    def busy(self) -> list[int]:
        """Transfers of which something has passed in the last seconds."""
        with self._lock:
            self._forget_idle(time.monotonic())
            return list(self._buckets)

    def _forget_idle(self, now: float) -> None:
        for idle in [of for of, buckets in self._buckets.items() if buckets[-1][0] < now - WINDOW]:
            del self._buckets[idle]

    def _add_to_bucket(self, transfer: int, length: int, now: float) -> None:
        if transfer not in self._buckets:
            self._forget_idle(now)
        buckets = self._buckets[transfer]
        if buckets and now - buckets[-1][0] < TICK:
            buckets[-1] = (buckets[-1][0], buckets[-1][1] + length)
        else:
            buckets.append((now, length))
            while buckets[0][0] < now - WINDOW:
                buckets.popleft()
