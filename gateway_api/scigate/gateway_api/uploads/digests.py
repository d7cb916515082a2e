"""Digests that a client promises for its upload (``Repr-Digest``, RFC 9530), taken while the bytes arrive."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from awscrt import checksums
from scigate.storage_backends.backend import Buffer

from ..problems import Problem

_MEMBER: Final = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?\s*")


class Running(Protocol):
    """A digest that grows."""

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
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc64nvme": lambda: Checksum(checksums.crc64nvme, 8),
    "crc32c": lambda: Checksum(checksums.crc32c, 4),
    "adler": lambda: Checksum(zlib.adler32, 4, 1),
}


def promised(header: str | None) -> dict[str, str]:
    """The digests of a ``Repr-Digest`` header as hexadecimal, by algorithm.

    Algorithms that we cannot compute are left out, as RFC 9530 §3 has it; if none is left, it is a ``Problem`` 422,
    because the client believes that its bytes are checked.
    """
    if header is None:
        return {}
    found = dict(_member(member) for member in header.split(","))
    known = {name: value for name, value in found.items() if name in ALGORITHMS}
    if not known:
        raise _wrong(f"Use one of {', '.join(ALGORITHMS)}.")
    return known


def representation(digests: Mapping[str, str]) -> str:
    """A ``Repr-Digest`` header from hexadecimal digests."""
    return ", ".join(f"{name}=:{base64.b64encode(bytes.fromhex(value)).decode()}:" for name, value in digests.items())


def start(names: Iterable[str]) -> dict[str, Running]:
    return {name: ALGORITHMS[name]() for name in names}


def _member(text: str) -> tuple[str, str]:
    found = _MEMBER.fullmatch(text)
    try:
        if found is not None:
            return found[1], base64.b64decode(found[2], validate=True).hex()
    except binascii.Error:
        pass
    raise _wrong("Write for example 'sha-256=:<base64>:'.")


def _wrong(next_step: str) -> Problem:
    return Problem(422, "invalid-digest", "The header Repr-Digest cannot be used.", next_step=next_step)
