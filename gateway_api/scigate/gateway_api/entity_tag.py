"""The version of a file as HTTP names it."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from scigate.storage_backends.backend import Entry

_PLAIN: Final = re.compile(r"[!#-~]{1,128}")  # what an entity tag may hold (RFC 9110 §8.8.3)


def etag(entry: Entry) -> str | None:
    """The entity tag of a version; None when the storage has no versions. A weak one stays weak."""
    if entry.version is None:
        return None
    weak = "W/" if entry.version.startswith("W/") else ""
    value = entry.version.removeprefix("W/").strip('"')
    if not _PLAIN.fullmatch(value):
        value = hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return f'{weak}"{value}"'
