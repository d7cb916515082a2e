"""How much of an upload has to be here at once when its bytes flow on through the window (``window.py``). No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scigate.storage_backends.backend import Limits, MiB
from scigate.storage_backends.errors import TooLarge

from ..transfers.planner import SMALL, block_length
from .model import Append
from .window import LEAST

PIECE: Final = 8 * MiB
"""More than what a request hands on at once."""


@dataclass(frozen=True, slots=True)
class Flow:
    """``most``: with so many bytes of an upload here, some of them can move on and make way. ``at_once``: so many
    bytes may come under one checksum, as none of them moves before it is compared; None: any number."""

    most: int
    at_once: int | None = None

    def of(self, request: Append) -> Flow | None:
        """The same while this request appends: bytes under a checksum have to be here beside those that wait."""
        if request.checksum is None:
            return Flow(self.most)
        under = self.at_once if request.size is None else request.size
        return None if under is None else Flow(self.most + under, self.at_once)


def flow(quota: int, limits: Limits, length: int) -> Flow | None:
    """How an upload of ``length`` bytes flows on to a storage with these ``limits``. None: all of it has to be here.

    Bytes stay here until enough of them waits (a quarter of the quota) or a block is whole, and until a hole is worth
    it."""
    if limits.drafts_readable or length <= SMALL:
        return None
    try:
        most = max(quota // 4, block_length(length, limits)) + LEAST + PIECE
    except TooLarge:
        return None
    if most + PIECE > quota:
        return None
    return Flow(most, quota - most if length > quota else None)
