"""Which digests a download tells: those its storage knows, or one that the client wants (RFC 9530). No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scigate.storage_backends.digests import ALGORITHMS

_MEMBER: Final = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)[ \t]*=[ \t]*(\d{1,2})[ \t]*")


def preferences(header: str | None) -> dict[str, int]:
    """The ``Want-Repr-Digest`` of a request: algorithm → 0 (not acceptable) to 10 (most preferred), RFC 9530 §4.

    A header that breaks its syntax is as good as none (RFC 9651 §4.2). What we cannot compute is left out.
    """
    members = [_MEMBER.fullmatch(member) for member in header.split(",")] if header else []
    found = {member[1]: int(member[2]) for member in members if member is not None}
    if None in members or any(weight > 10 for weight in found.values()):
        return {}
    return {name: weight for name, weight in found.items() if name in ALGORITHMS}


def told(known: Mapping[str, str], wanted: Mapping[str, int]) -> dict[str, str]:
    """Of the digests that the storage vouches for, those to tell: the wanted ones, else all that are acceptable."""
    usable = {name: value for name, value in known.items() if name in ALGORITHMS and wanted.get(name, 1) > 0}
    return {name: value for name, value in usable.items() if name in wanted} or usable


def to_compute(known: Mapping[str, str], wanted: Mapping[str, int]) -> list[str]:
    """The algorithms worth computing, most preferred first; none if a wanted digest is known already."""
    acceptable = {name: weight for name, weight in wanted.items() if weight > 0}
    if acceptable.keys() & known.keys():
        return []
    return sorted(acceptable, key=lambda name: -acceptable[name])
