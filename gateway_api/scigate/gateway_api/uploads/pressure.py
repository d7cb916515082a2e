"""Whether the sender of an upload is held up by us, or by the network. Pure."""

from __future__ import annotations

import math
from typing import Final

DECAY: Final = 1.0  # seconds after which a look counts for a third
PRESSING: Final = 0.5
UNSEEN: Final = 0.5  # seconds between two looks of which the later one still tells; before that nobody was held up
DOUBT: Final = 0.05
"""Weight, in parts of ``DECAY``, of the belief that nobody is held up, with which it begins."""


class Pressure:
    """For which part of the last second or so a sender had more to give than we took. Times are of one steady clock,
    in seconds."""

    __slots__ = ("_at", "_held", "_seen")

    def __init__(self) -> None:
        self._at: float | None = None
        self._held, self._seen = 0.0, DOUBT

    def look(self, held_up: bool, now: float) -> None:
        """Since the last look the sender was held up by us, or was not."""
        if self._at is not None:
            self._held, self._seen = self._after(now)
            fade = math.exp(-min(now - self._at, UNSEEN) / DECAY)
            self._held = self._held * fade + (1 - fade) * held_up
            self._seen = self._seen * fade + (1 - fade)
        self._at = now

    def is_pressing(self, now: float) -> bool:
        """Whether the sender is held up most of the time. It ends by itself when nobody looks any more."""
        held, seen = self._after(now)
        return held > PRESSING * seen

    def _after(self, now: float) -> tuple[float, float]:
        """What is left of the looks before when for too long nobody has looked."""
        unseen = 0.0 if self._at is None else max(0.0, now - self._at - UNSEEN)
        fade = math.exp(-unseen / DECAY)
        return self._held * fade, self._seen * fade + (1 - fade)
