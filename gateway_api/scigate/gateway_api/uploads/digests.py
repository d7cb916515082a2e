"""The digests that a client promises for its upload, and those that we tell it: ``Repr-Digest``, RFC 9530."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from scigate.storage_backends.digests import ALGORITHMS

from ..problems import Problem

_MEMBER: Final = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?\s*")


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
