"""What is moved: loads, the directions in which they go, and the files themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import GiB, KiB, MiB

LOCAL: Final = "local"
S3: Final = "s3"
DATA: Final = "data"  # the folder, or prefix, that is moved; other files in a place are not part of the case
FOLDERS: Final = 10  # in which small files lie
_PIECE: Final = 4 * MiB


class BenchmarkFailed(Exception):
    """The benchmark cannot go on, or its figures would be worthless; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """``count`` files of ``size`` bytes each."""

    name: str
    count: int
    size: int

    @property
    def bytes(self) -> int:
        return self.count * self.size

    def names(self) -> Iterator[str]:
        """Paths below the data folder."""
        if self.count == 1:
            yield "0.dat"
            return
        for number in range(self.count):
            yield f"{number % FOLDERS}/{number:06}.dat"


@dataclass(frozen=True, slots=True)
class Case:
    """One load in one direction."""

    load: Load
    source: str
    destination: str

    @property
    def name(self) -> str:
        return f"{self.load.name}-{self.source}-{self.destination}"


LARGE: Final = Load("large", 1, 2 * GiB)
SMALL: Final = Load("small", 5000, 10 * KiB)
QUICK_LARGE: Final = Load("large", 1, 256 * MiB)
QUICK_SMALL: Final = Load("small", 1000, 10 * KiB)


def all_cases(loads: Sequence[Load]) -> list[Case]:
    """Every load in every direction."""
    directions = [(LOCAL, S3), (S3, LOCAL), (S3, S3), (LOCAL, LOCAL)]
    return [Case(load, *direction) for load, direction in product(loads, directions)]


def select(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The cases with these names, or all without names. ``BenchmarkFailed`` for a name that no case has."""
    known = {case.name: case for case in cases}
    if unknown := [name for name in names if name not in known]:
        raise BenchmarkFailed(f"there is no case {unknown[0]!r}; the cases are {', '.join(known)}")
    return [known[name] for name in names] or list(cases)


def make_files(load: Load, folder: Path) -> None:
    """Write the files of a load below ``folder``."""
    for name in load.names():
        write_random(folder / DATA / name, load.size)


def write_random(path: Path, size: int) -> None:
    """A file of random bytes: nothing that compresses or repeats. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, _PIECE):
            file.write(os.urandom(min(_PIECE, size - start)))
