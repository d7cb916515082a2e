"""Digests of what is received: RFC 9530 fields read, the strongest we can compute taken."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from .errors import DataDamaged


class Running(Protocol):
    """A digest being taken."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Adler32:
    """Adler-32 (RFC 1950) with the interface of hashlib; grid storages know little else."""

    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _md5() -> Running:
    return hashlib.md5(usedforsecurity=False)


_KNOWN: Final[Mapping[str, Callable[[], Running]]] = {
    "sha-512": hashlib.sha512,
    "sha-256": hashlib.sha256,
    "md5": _md5,
    "adler": _Adler32,
}
_ITEM: Final = re.compile(r"\s*([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):[^,]*")


class Check:
    """Compares what is received with the digest that was promised; without a promise it proves the size only."""

    def __init__(self, promised: Mapping[str, bytes]) -> None:
        self.algorithm = next((name for name in _KNOWN if name in promised), None)
        self._wanted = promised[self.algorithm] if self.algorithm else b""
        self._running = _KNOWN[self.algorithm]() if self.algorithm else None

    def update(self, data: bytes) -> None:
        if self._running:
            self._running.update(data)

    def finish(self, what: str) -> None:
        """Raise ``DataDamaged`` if the digests differ."""
        if self._running and self._running.digest() != self._wanted:
            raise DataDamaged(f"{what} arrived with another {self.algorithm} digest than the gateway promised.")


def read_repr_digest(field: str) -> dict[str, bytes]:
    """The digests in a ``Repr-Digest`` field (RFC 9530 §3); what cannot be read is left out."""
    found = {}
    for item in _ITEM.finditer(field):
        try:
            found[item[1]] = base64.b64decode(item[2], validate=True)
        except binascii.Error:
            continue
    return found
