"""How a file is moved: into how many blocks it is cut, and what an existing destination means. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from scigate.storage_backends.backend import Entry, Kind, Limits, MiB
from scigate.storage_backends.errors import AlreadyExists, NotRegular, TooLarge

from ..resources import Overwrite

SMALL: Final = 8 * MiB  # up to here a file is one buffer and travels in a batch, whatever its destination
STEP: Final = 16 * MiB  # of an upload that is still received, the least that is worth an attempt


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a file: the unit of digest, resume and repair. ``number`` counts from 0."""

    number: int
    offset: int
    length: int


def block_length(size: int, limits: Limits) -> int:
    """How long the blocks of a file of ``size`` bytes are at a destination with these ``limits``.

    The preferred length, or as much more as the destination's largest number of blocks needs, in whole MiB.
    Raises ``TooLarge`` before the first byte moves.
    """
    if limits.largest is not None and size > limits.largest:
        raise TooLarge(f"the file has {size} bytes; this storage takes at most {limits.largest} in one object")
    needed = -(-size // limits.blocks_max) if limits.blocks_max else 0
    length = max(limits.block_preferred, limits.block_min, -(-needed // MiB) * MiB)
    if needed > limits.block_max:
        raise TooLarge(
            f"the file has {size} bytes; this storage takes {limits.blocks_max} blocks of {limits.block_max}"
        )
    return min(length, limits.block_max)


def cut(size: int, length: int) -> Iterator[Block]:
    """The blocks of a file, in order; an empty file has none."""
    for number, offset in enumerate(range(0, size, length)):
        yield Block(number, offset, min(length, size - offset))


def worth_moving(size: int | None, moved: int, arrived: int, most: int | None = None) -> bool:
    """Whether a file that is still received is to be moved on, ``moved`` of its ``arrived`` bytes being at the
    destination already. Not for little: each attempt may read what the destination has of it again. But always when
    ``most`` bytes wait for it.

    Small files, and those whose size is not known, are moved when all of them is here.
    """
    if size is None or size <= SMALL:
        return False
    least = max(STEP, size // 32)
    return arrived - moved >= (least if most is None else min(least, most))


class Verdict(Enum):
    """What an existing destination means for a file."""

    GO = auto()
    SKIP = auto()
    COMPARE = auto()  # same size: the contents decide


def judge(overwrite: Overwrite, source: Entry, existing: Entry | None) -> Verdict:
    """Apply the overwrite policy. Raises ``AlreadyExists`` or ``NotRegular`` when the file must not be written."""
    if existing is None:
        return Verdict.GO
    if existing.kind is not Kind.FILE:
        raise NotRegular(f"the destination is a {existing.kind} and is not replaced by a file", path=existing.path)
    if overwrite is Overwrite.FAIL:
        raise AlreadyExists(f"the destination exists already: {existing.path!r}", path=existing.path)
    if overwrite is Overwrite.SKIP_SAME:
        return _same(source, existing)
    if overwrite is Overwrite.NEWER:
        return Verdict.GO if _newer(source, existing) else Verdict.SKIP
    return Verdict.GO


def _same(source: Entry, existing: Entry) -> Verdict:
    if source.size != existing.size:
        return Verdict.GO
    common = source.digests.keys() & existing.digests.keys()
    if not common:
        return Verdict.COMPARE
    return Verdict.SKIP if all(source.digests[name] == existing.digests[name] for name in common) else Verdict.GO


def _newer(source: Entry, existing: Entry) -> bool:
    if source.modified is None or existing.modified is None:
        return True  # unknown age: moving once too often is safe, skipping is not
    return source.modified > existing.modified or source.size != existing.size
