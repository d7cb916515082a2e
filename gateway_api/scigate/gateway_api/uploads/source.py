"""Uploads as a source: what the engine reads while it still arrives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

from scigate.storage_backends.backend import Buffer, Digests, Draft, Entry, Extras, Limits
from scigate.storage_backends.errors import NotFound, SourceChanged, Truncated, Unsupported
from scigate.storage_backends.posix_calls import Descriptor, Doing
from scigate.storage_backends.posix_data import buffers

from .arrivals import Arrivals
from .staged import Lookup, Released, StagedPart, StagedUpload, Starved

LIMITS: Final = Limits(read_only=True, listable=False, local=True)


class StagedSource:
    """The uploads on this gateway's disk as a read-only storage; a path is the id of an upload, and its version too.

    An upload that is still received has its final size from the start, and a digest only when it is complete. Reading
    what has not arrived raises ``Starved`` at once: who wants to wait does it before, with ``wait``.
    """

    limits = LIMITS
    extras = Extras()

    def __init__(self, name: str, folder: Path, lookup: Lookup, arrivals: Arrivals) -> None:
        self.name, self.arrivals = name, arrivals
        self._folder, self._lookup = folder, lookup

    def arrived(self, upload: str) -> int:
        """How many bytes can be read. ``NotFound`` for an upload that is not, or no longer, here."""
        return self._arrived(self._lookup(upload))

    def is_complete(self, upload: str) -> bool:
        """Whether all bytes are here and accepted. ``NotFound`` like ``arrived``."""
        return self._lookup(upload).complete

    def wait(self, upload: str, until: int, timeout: timedelta) -> int:
        """Wait until ``until`` bytes can be read, at most for ``timeout``; returns how many can."""
        here = self.arrived(upload)
        return here if here >= until else self.arrivals.wait(upload, until, timeout)

    def wait_complete(self, upload: str, timeout: timedelta) -> bool:
        """Wait until the upload is complete, at most for ``timeout``; whether it is."""
        return self.is_complete(upload) or self.arrivals.wait_complete(upload, timeout)

    def stat(self, path: str) -> Entry:
        """See ``Backend``. Raises ``Starved`` while the sender has not said how long the upload will be."""
        upload = self._lookup(path)
        return Entry(path, size=_length(upload), modified=_when(upload.modified), version=upload.id,
                     digests=_digests(upload))  # fmt: skip

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        """See ``Backend``. Raises ``Starved`` before the first buffer unless the whole range has arrived."""
        upload = self._lookup(path)
        if version not in (None, upload.id):
            raise SourceChanged("the upload is not the one that was meant", path=path)
        size = _length(upload)
        end = size if length is None else offset + length
        if not 0 <= offset <= end <= size:
            raise Truncated(f"bytes {offset} to {end} are not inside the {size} bytes of the upload", path=path)
        if end > self._arrived(upload):
            raise Starved
        if offset < upload.released:
            raise Released("the storage has lost what it had of this upload, and here it was given up", path=path)
        parts = upload.parts or (StagedPart(upload.id, size),)
        for part, start, count in _pieces(parts, offset, end):
            yield from self._read(part, start, count)

    def _read(self, part: str, offset: int, length: int) -> Iterator[Buffer]:
        with Doing("read the upload", part):
            try:
                file = Descriptor(os.open(self._folder / part, os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                raise NotFound("the bytes of the upload are not here any more", path=part) from None
        with file:
            yield from buffers(file.fd, part, offset, length, lambda: None)

    def _arrived(self, upload: StagedUpload) -> int:
        if upload.complete:
            return _length(upload)
        return max(upload.received, self.arrivals.known(upload.id))

    # --- what a source need not do -------------------------------------------------------------------------------

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        _refuse()

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        _refuse()

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> Draft:
        _refuse()

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        _refuse()

    def delete(self, path: str) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise Unsupported("uploads on their way are only read")


def _length(upload: StagedUpload) -> int:
    if upload.length is None:
        raise Starved
    return upload.length


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _digests(upload: StagedUpload) -> Digests:
    return {"crc64nvme": upload.crc64nvme} if upload.complete and upload.crc64nvme else {}


def _pieces(parts: tuple[StagedPart, ...], offset: int, end: int) -> Iterator[tuple[str, int, int]]:
    """(id, offset, length) of what a range takes from each part, in order."""
    start = 0
    for part in parts:
        first, last = max(offset, start), min(end, start + part.length)
        if first < last:
            yield part.id, first - start, last - first
        start += part.length
