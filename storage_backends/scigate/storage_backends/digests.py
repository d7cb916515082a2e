"""Digests by the names of the contract: which we can compute, computing them, and comparing them with a promise."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from awscrt import checksums
from blake3 import blake3

from .backend import Buffer, Digests
from .errors import DigestMismatch, Unsupported


class Running(Protocol):
    """A digest that grows with each ``update``."""

    def update(self, data: Buffer, /) -> object: ...

    def hexdigest(self) -> str: ...


class Checksum:
    """A CRC or Adler sum in the shape of ``hashlib``."""

    def __init__(self, step: Callable[[Buffer, int], int], size: int, start: int = 0) -> None:
        self._step, self._size, self._value = step, size, start

    def update(self, data: Buffer, /) -> None:
        self._value = self._step(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{2 * self._size}x}"


ALGORITHMS: Final[Mapping[str, Callable[[], Running]]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "blake3": blake3,
    "crc64nvme": lambda: Checksum(checksums.crc64nvme, 8),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32c": lambda: Checksum(checksums.crc32c, 4),
    "adler": lambda: Checksum(zlib.adler32, 4, 1),
}
"""What can be computed here, the strongest first, by the names of ``backend.Digests``."""


def start(names: Iterable[str]) -> dict[str, Running]:
    """A digest of nothing yet for each of ``names``, which are all in ``ALGORITHMS``."""
    return {name: ALGORITHMS[name]() for name in names}


def digest(algorithm: str, data: Iterable[Buffer]) -> str:
    """The digest of ``data`` in lower-case hexadecimal. ``Unsupported`` for what is not in ``ALGORITHMS``."""
    if algorithm not in ALGORITHMS:
        raise Unsupported(f"this storage computes {', '.join(sorted(ALGORITHMS))}, not {algorithm!r}")
    running = ALGORITHMS[algorithm]()
    for buffer in data:
        running.update(buffer)
    return running.hexdigest()


def require_digests(data: Sequence[Buffer], expected: Digests, path: str) -> None:
    """Raise ``DigestMismatch`` if ``data`` has another digest than is expected; unknown algorithms are left out."""
    for algorithm in expected.keys() & ALGORITHMS.keys():
        if digest(algorithm, data) != expected[algorithm]:
            text = f"the data for {path!r} have another {algorithm} than was promised; nothing was stored"
            raise DigestMismatch(text, path=path)
