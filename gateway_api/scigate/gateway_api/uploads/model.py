"""What the protocols of uploads and their use cases say to each other; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ..resources import Overwrite


class Kind(StrEnum):
    """What an upload is to become."""

    WHOLE = "whole"  # a file
    PARTIAL = "partial"  # a part that others are concatenated with
    FINAL = "final"  # a file made of parts, which has no bytes of its own


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload as its sender asks for it.

    ``destination`` is ``storage:/path``, None only for a partial one. ``length`` in bytes, None while it is not said.
    ``digests`` that the whole is promised to have, hexadecimal by algorithm. ``metadata`` is told back as it came.
    ``parts`` are the ids of the uploads that a final one is made of. ``key`` as of ``Idempotency-Key``. ``not_before``
    and ``deadline`` are those of its delivery.
    """

    kind: Kind = Kind.WHOLE
    length: int | None = None
    destination: str | None = None
    overwrite: Overwrite = Overwrite.FAIL
    label: str | None = None
    name: str | None = None
    modified: datetime | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    metadata: str | None = None
    parts: tuple[str, ...] = ()
    key: str | None = None
    not_before: datetime | None = None
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload as it is recorded: ``offset`` bytes of it are durable here. ``largest`` is the longest it may be."""

    id: str
    kind: Kind
    length: int | None
    offset: int
    complete: bool
    expires: datetime | None
    metadata: str | None
    parts: tuple[str, ...]
    largest: int


@dataclass(frozen=True, slots=True)
class Append:
    """A request that appends: from ``offset`` on, ``size`` bytes (None: not said).

    ``length`` of the whole, if this request says it. ``ends``: whether the upload is complete with it; None: when its
    length is reached. ``checksum`` of this request's bytes: the tus name of the algorithm, and the digest. ``whole``:
    the digests that the whole is said to have, hexadecimal by algorithm; compared if the upload is complete with it.
    """

    offset: int
    size: int | None = None
    length: int | None = None
    ends: bool | None = None
    checksum: tuple[str, bytes] | None = None
    whole: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Creation:
    """A request that creates an upload: what, and what its body adds to it at once (None: it has none)."""

    new: NewUpload
    first: Append | None
