"""What is moved: loads, the directions in which they go, and the files themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product, repeat
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import GiB, KiB, MiB

LOCAL: Final = "local"
S3: Final = "s3"
INSIDE: Final = "inside"  # as a destination: another folder of the bucket that is the source
DATA: Final = "data"  # the folder, or prefix, that is moved; other files in a place are not part of the case
FOLDERS: Final = 10  # in which files lie
_PIECE: Final = 4 * MiB


class BenchmarkFailed(Exception):
    """The benchmark cannot go on, or its figures would be worthless; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """``count`` files of ``size`` bytes each, and ``more`` of other sizes: (count, size)."""

    name: str
    count: int
    size: int
    more: tuple[tuple[int, int], ...] = ()

    @property
    def files(self) -> int:
        return self.count + sum(count for count, _ in self.more)

    @property
    def bytes(self) -> int:
        return sum(count * size for count, size in self._groups())

    def names(self) -> Iterator[str]:
        """Paths below the data folder."""
        return (name for name, _ in self.sizes())

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Each path with its size."""
        if self.files == 1:
            yield "0.dat", self.size
            return
        sizes = chain.from_iterable(repeat(size, count) for count, size in self._groups())
        for number, size in enumerate(sizes):
            yield f"{number % FOLDERS}/{number:06}.dat", size

    def _groups(self) -> tuple[tuple[int, int], ...]:
        return ((self.count, self.size), *self.more)


@dataclass(frozen=True, slots=True)
class Case:
    """One load in one direction."""

    load: Load
    source: str
    destination: str

    @property
    def name(self) -> str:
        return f"{self.load.name}-{self.source}-{self.destination}"


LARGE: Final = Load("large", 1, 4 * GiB)
SMALL: Final = Load("small", 5000, 10 * KiB)
MIXED: Final = Load("mixed", 1000, 4 * KiB, ((300, 256 * KiB), (60, 4 * MiB), (10, 32 * MiB), (1, 256 * MiB)))
QUICK_LARGE: Final = Load("large", 1, 1 * GiB)
QUICK_SMALL: Final = Load("small", 2000, 10 * KiB)
QUICK_MIXED: Final = Load("mixed", 500, 4 * KiB, ((60, 256 * KiB), (20, 4 * MiB), (1, 128 * MiB)))
FULL: Final = (LARGE, SMALL, MIXED)
QUICK: Final = (QUICK_LARGE, QUICK_SMALL, QUICK_MIXED)


def all_cases(loads: Sequence[Load]) -> list[Case]:
    """Every load in every direction."""
    directions = [(LOCAL, S3), (S3, LOCAL), (S3, S3), (LOCAL, LOCAL), (S3, INSIDE)]
    return [Case(load, *direction) for load, direction in product(loads, directions)]


def select(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The cases with these names, or all without names. ``BenchmarkFailed`` for a name that no case has."""
    known = {case.name: case for case in cases}
    if unknown := [name for name in names if name not in known]:
        raise BenchmarkFailed(f"there is no case {unknown[0]!r}; the cases are {', '.join(known)}")
    return [known[name] for name in names] or list(cases)


def make_files(load: Load, folder: Path) -> None:
    """Write the files of a load below ``folder``."""
    for name, size in load.sizes():
        write_random(folder / DATA / name, size)


def write_random(path: Path, size: int) -> None:
    """A file of random bytes: nothing that compresses or repeats. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, _PIECE):
            file.write(os.urandom(min(_PIECE, size - start)))
