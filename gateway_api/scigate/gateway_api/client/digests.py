"""Digests of what is received: of those that were promised (RFC 9530), the strongest is checked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from .errors import DataDamaged

_MEMBER: Final = re.compile(r"\s*([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):[^,]*")


class Check:
    """Compares what is received with the digest that was promised; without a promise it proves the size only."""

    def __init__(self, promised: Mapping[str, str]) -> None:
        # Here, because the CRCs come with a library that takes its time.
        from scigate.storage_backends.digests import ALGORITHMS

        self.algorithm = next((name for name in ALGORITHMS if name in promised), None)
        self._wanted = promised[self.algorithm] if self.algorithm else ""
        self._running = ALGORITHMS[self.algorithm]() if self.algorithm else None

    def update(self, data: bytes) -> None:
        if self._running:
            self._running.update(data)

    def finish(self, what: str) -> None:
        """Raise ``DataDamaged`` if the digests differ."""
        if self._running and self._running.hexdigest() != self._wanted:
            raise DataDamaged(f"{what} arrived with another {self.algorithm} digest than the gateway promised.")


def read_repr_digest(field: str) -> dict[str, str]:
    """The digests in a ``Repr-Digest`` field (RFC 9530 §3) as hexadecimal; what cannot be read is left out."""
    found = {}
    for member in _MEMBER.finditer(field):
        try:
            found[member[1]] = base64.b64decode(member[2], validate=True).hex()
        except binascii.Error:
            continue
    return found
