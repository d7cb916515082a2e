"""A folder as a stream of one archive, whose last entry is a manifest of digests: without it the archive is cut off."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from scigate.storage_backends.backend import Backend, Buffer, Entry, Kind
from scigate.storage_backends.digests import start
from scigate.storage_backends.errors import (
    DigestMismatch,
    Permanent,
    SourceChanged,
    Truncated,
)

from ..resources import ArchiveKind
from .manifest import DIGESTS, Manifest, Origin
from .members import MANIFEST, Member, Names, Unpackable
from .spool import Spool
from .tar import Tar
from .zip import Zip


class Format(Protocol):
    """The bytes around the files."""

    media_type: str
    suffix: str

    def name(self, path: str) -> bytes:
        """The name of a file as this format keeps it."""
        ...

    def begin(self, member: Member) -> bytes: ...

    def end(self, crc32: int) -> bytes: ...

    def finish(self) -> Iterator[bytes]: ...


FORMATS: Final[dict[ArchiveKind, Callable[[Spool], Format]]] = {ArchiveKind.ZIP: Zip, ArchiveKind.TAR: Tar}


@dataclass(frozen=True, slots=True)
class Folder:
    """What is packed: all files below ``path``, those behind ``after`` only; in the archive they are below ``top``."""

    backend: Backend
    path: str
    top: str
    after: str | None


class Archive:
    """An iterator over the bytes. ``StorageError`` from it means that what came so far is not an archive.

    For one thread at a time. ``close`` may be called at any time and more than once; it has to be called.
    """

    def __init__(self, folder: Folder, origin: Origin, kind: ArchiveKind, released: Callable[[], None]) -> None:
        self._spool = Spool()
        self._released = released
        self._form = FORMATS[kind](self._spool)
        self.media_type = self._form.media_type
        self.file_name = folder.top + self._form.suffix
        self._pieces = _pack(folder, self._form, Manifest(self._spool, origin), Names(self._spool))
        self._is_open = True

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        return next(self._pieces)

    def close(self) -> None:
        """Let go of the storage, of the disk and of the user's place."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._pieces.close()
        finally:
            self._spool.close()
            self._released()


def _pack(folder: Folder, form: Format, manifest: Manifest, names: Names) -> Generator[Buffer, None, None]:
    for entry in folder.backend.scan(folder.path, after=folder.after):
        name = form.name(f"{folder.top}/{entry.path.removeprefix(folder.path)}")
        try:
            note = _place(entry, name, names)
            file = _opened(folder.backend, entry)
        except Unpackable as error:
            manifest.skip(entry.path, "not-packed", str(error))
        except Permanent as error:  # it cannot be read, and could not be the next time
            manifest.skip(entry.path, error.code, error.message)
        else:
            digests = yield from _file(file, name, form)
            manifest.add(file.entry, name, digests, note)
    size, text = manifest.text()
    yield from _file(OpenFile(Entry(MANIFEST, size=size, modified=datetime.now(UTC)), text), MANIFEST.encode(), form)
    yield from form.finish()


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file whose first byte has been had."""

    entry: Entry
    buffers: Iterator[Buffer]


def _place(entry: Entry, name: bytes, names: Names) -> str | None:
    if entry.kind is not Kind.FILE:
        raise Unpackable(entry.note or "it is not a regular file")
    return names.take(name)


def _opened(backend: Backend, entry: Entry) -> OpenFile:
    """Ready to be sent. One that was written to since it was listed is looked at once more."""
    try:
        return _begun(backend, entry)
    except SourceChanged:
        entry = backend.stat(entry.path)
        if entry.kind is not Kind.FILE:
            raise Unpackable("it is no longer a regular file") from None
        return _begun(backend, entry)


def _begun(backend: Backend, entry: Entry) -> OpenFile:
    if entry.size == 0:
        return OpenFile(entry, iter(()))
    # A listing tells no digest: so the whole is asked for, with which S3 servers send theirs, not a range.
    length = entry.size if entry.version is None else None
    buffers = backend.read(entry.path, 0, length, version=entry.version)
    first = next(buffers, b"")
    return OpenFile(entry, _joined(first, buffers))


def _joined(first: Buffer, buffers: Iterator[Buffer]) -> Iterator[Buffer]:
    yield first
    yield from buffers


def _file(file: OpenFile, name: bytes, form: Format) -> Generator[Buffer, None, dict[str, str]]:
    """Send one file; returns its digests. Whatever goes wrong here ends the archive: its header is out already."""
    entry = file.entry
    yield form.begin(Member(name, entry.size, entry.modified))
    running, crc32, sent = start(DIGESTS), 0, 0
    for buffer in file.buffers:
        for digest in running.values():
            digest.update(buffer)
        crc32, sent = zlib.crc32(buffer, crc32), sent + len(buffer)
        yield buffer
    if sent != entry.size:
        raise Truncated(f"{sent} bytes came, not {entry.size}", path=entry.path)
    digests = {algorithm: digest.hexdigest() for algorithm, digest in running.items()}
    for algorithm, value in digests.items():
        if entry.digests.get(algorithm, value) != value:
            raise DigestMismatch(f"it has another {algorithm} than its storage says", path=entry.path)
    yield form.end(crc32)
    return digests
