"""An upload as the engine reads it: how long it will be, and how much of it is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scigate.storage_backends.errors import Permanent

PREFIX: Final = "staging@"
"""Of the names of staging storages; a user's storage cannot have such a name."""


class Starved(Exception):
    """The bytes that are needed now have not arrived. No failure of a storage: the file waits for its sender."""


class Released(Permanent):
    """Bytes are needed again that were given up here once the storage had them."""

    next_step = "Send the file again."


def is_staging(storage: str) -> bool:
    """Whether a storage of this name holds uploads on their way, of this gateway or of another."""
    return storage.startswith(PREFIX)


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One of the uploads that a ``final`` one is made of; ``length`` in bytes."""

    id: str
    length: int


@dataclass(frozen=True, slots=True)
class StagedUpload:
    """An upload on this gateway's disk.

    ``length`` is None while the sender has not said it. ``received`` bytes are durable here; more may be in the file
    already. ``complete``: all have come, are durable, and hold what the sender promised; only then ``crc64nvme`` (16
    hexadecimal digits) is the digest of the whole. ``parts`` of an upload that is made of others, in order: its bytes
    are theirs, and it has no file of its own. ``modified`` in seconds since 1970. The first ``released`` bytes are not
    here any more: they are at the storage.
    """

    id: str
    length: int | None
    received: int
    complete: bool
    parts: tuple[StagedPart, ...] = ()
    modified: float | None = None
    crc64nvme: str | None = None
    released: int = 0


Lookup = Callable[[str], StagedUpload]
"""Upload id → the upload as it is recorded now. Raises ``NotFound`` for one that is not, or no longer, here."""
