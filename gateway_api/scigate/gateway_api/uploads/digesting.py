"""Digests of uploads while they arrive: of one request's bytes, and of the whole over many requests."""

from __future__ import annotations

import hashlib
import hmac
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from awscrt import checksums
from scigate.storage_backends.digests import Checksum, Running

from ..problems import Problem

KEPT: Final = "crc64nvme"
"""The digest that is recorded of every upload, with each count of its bytes that is."""
REMEMBERED: Final = 1000  # uploads whose running digests are kept between two requests
_CHECKSUMS: Final[Mapping[str, Callable[[], Running]]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": lambda: Checksum(zlib.crc32, 4),
    "crc64nvme": lambda: Checksum(checksums.crc64nvme, 8),
}
"""By their names in tus' ``Upload-Checksum``; a CRC is its number, most significant byte first."""


class Expected:
    """The checksum that a request promises for its own bytes."""

    def __init__(self, algorithm: str, digest: bytes) -> None:
        self.algorithm, self._digest = algorithm, digest
        self._running = _CHECKSUMS[algorithm]()

    def update(self, buffer: bytes) -> None:
        """Take in the next bytes."""
        self._running.update(buffer)

    def matches(self) -> bool:
        """Whether all bytes so far have the checksum."""
        return hmac.compare_digest(bytes.fromhex(self._running.hexdigest()), self._digest)


class Remembered:
    """Running digests of whole uploads between two requests; what is lost is computed again by reading. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, dict[str, Running]]] = OrderedDict()

    def take(self, upload: str, offset: int) -> dict[str, Running] | None:
        """Those of the first ``offset`` bytes, if they are still known; they are the caller's then."""
        with self._lock:
            at, running = self._kept.pop(upload, (-1, {}))
        return running if at == offset else None

    def keep(self, upload: str, offset: int, running: dict[str, Running]) -> None:
        """Remember them until the next request."""
        with self._lock:
            self._kept[upload] = (offset, running)
            while len(self._kept) > REMEMBERED:
                self._kept.popitem(last=False)


def not_as_promised(name: str, promised: str, found: str) -> Problem:
    """The whole is not what its sender has promised; nothing of it is kept."""
    return Problem(422, "digest-mismatch", f"The {name} of what arrived is {found}, not {promised}; it was not stored.",
                   next_step="Send the file again; if it happens twice, check the digest.")  # fmt: skip


def differing(promised: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """The first algorithm by which the digests differ."""
    return next((name for name, value in promised.items() if found[name] != value), None)
