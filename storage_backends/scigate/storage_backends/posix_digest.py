"""Digests of what a POSIX storage holds, by the names of the contract."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from typing import Final

import blake3
from awscrt import checksums

from .backend import Buffer, Digests
from .errors import DigestMismatch, Unsupported

CHECKSUMS: Final[dict[str, tuple[Callable[[Buffer, int], int], int, int]]] = {  # function, first value, hex digits
    "adler": (zlib.adler32, 1, 8),
    "crc32c": (checksums.crc32c, 0, 8),
    "crc64nvme": (checksums.crc64nvme, 0, 16),
}
HASHES: Final[dict[str, Callable[[], hashlib._Hash | blake3.blake3]]] = {
    "blake3": blake3.blake3,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}
KNOWN: Final = frozenset(CHECKSUMS) | frozenset(HASHES)


def digest(algorithm: str, data: Iterable[Buffer]) -> str:
    """The digest of ``data`` in lower-case hexadecimal. ``Unsupported`` for other algorithms than ``KNOWN``."""
    if algorithm in CHECKSUMS:
        step, value, digits = CHECKSUMS[algorithm]
        for buffer in data:
            value = step(buffer, value)
        return f"{value:0{digits}x}"
    if algorithm not in HASHES:
        raise Unsupported(f"this storage computes {', '.join(sorted(KNOWN))}, not {algorithm!r}")
    hasher = HASHES[algorithm]()
    for buffer in data:
        hasher.update(buffer)
    return hasher.hexdigest()


def require_digests(data: Buffer, expected: Digests, path: str) -> None:
    """Raise ``DigestMismatch`` if ``data`` has another digest than a known one that is expected."""
    for algorithm, value in expected.items():
        if algorithm in KNOWN and digest(algorithm, [data]) != value:
            text = f"the data for {path!r} have another {algorithm} than was promised; nothing was stored"
            raise DigestMismatch(text, path=path)
