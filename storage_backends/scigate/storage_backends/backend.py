"""The storage contract: what every backend promises, on one page.

A backend is **synchronous and thread-safe**; the engine calls it from its own threads. Data passes as iterators
of buffers (64 KiB to 8 MiB each, whatever the client underneath does best; a small object is one buffer), so that
memory is bounded by what is in flight and digests are taken while a buffer is still hot in cache. A buffer is only
valid until the next one is asked for: who keeps it, copies it.

Paths are the storage's own names without a leading slash: ``h3a/run7/a.bam``. A folder is named with a trailing
slash (``h3a/run7/``), the root is the empty string. Bytes that are not UTF-8 travel as surrogate escapes (PEP 383).
A backend keeps names byte-exact or refuses them with ``InvalidName``; it never changes one.

Every failure is a ``StorageError``; anything else is a bug in the backend. The conformance suite in
``scigate.storage_backends.testing`` tests every sentence here, on every backend and on real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""A piece of data; any size above zero."""

Digests: TypeAlias = Mapping[str, str]
"""Digest algorithm → lower-case hexadecimal value. Names follow the IANA registry of RFC 9530 where it has one:
``sha-256``, ``md5``, ``adler`` (adler32), ``crc32c``; besides these ``crc64nvme`` and ``blake3``."""

KiB, MiB, GiB, TiB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


class Kind(StrEnum):
    """What an entry is. ``OTHER`` (links, pipes, sockets, devices) is listed, never read."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing at a storage.

    ``version`` changes whenever the content does (ETag, or inode + size + times); equal versions mean equal bytes.
    ``digests`` are those the storage vouches for, over the whole object.
    ``identity`` answers "was it me?" after a crash: equal to ``Draft.identity`` (or to the ``key`` of a ``put``)
    exactly when that draft became this entry. None: the storage cannot tell.
    """

    path: str
    kind: Kind = Kind.FILE
    size: int = 0
    modified: datetime | None = None
    version: str | None = None
    digests: Digests = field(default_factory=dict)
    identity: str | None = None
    note: str | None = None  # why an OTHER is refused, in words


@dataclass(frozen=True, slots=True)
class Limits:
    """What the storage can take. Sizes in bytes."""

    block_min: int = 1  # every block but the last is at least this long
    block_preferred: int = 16 * MiB
    block_max: int = 5 * GiB
    blocks_max: int | None = None  # most blocks in one draft
    largest: int | None = None  # largest object
    put_max: int = 8 * MiB  # up to this size ``put`` is the right way, above it a draft
    concurrency: int = 8  # requests at once that the storage likes
    local: bool = False  # calls are system calls of this machine: waiting in many threads gains nothing
    sequential: bool = False  # blocks of a draft must come in order, one at a time
    equal_blocks: bool = False  # all blocks but the last have the same length
    atomic_no_replace: bool = True  # ``if_absent`` is decided by the storage; False: best effort
    read_only: bool = False  # a source only: whatever would write, draft or delete is Unsupported
    listable: bool = True  # ``scan`` works; False: it is Unsupported
    drafts_readable: bool = False  # ``Draft.read`` works, so a draft can be verified before it is published


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """The storage's word for one written block; ``token`` is what it wants back at the end (an ETag).

    ``digests`` are those that the storage vouches for, over this block; only ``Draft.parts`` gives them.
    """

    number: int
    offset: int
    length: int
    token: str = ""
    digests: Digests = field(default_factory=dict, compare=False)


class Draft(Protocol):
    """An object being written, invisible until published. A draft may be used by several threads at once."""

    @property
    def ref(self) -> str:
        """What ``Backend.draft(ref=…)`` needs to re-open this draft in another process. Opaque, without secrets."""
        ...

    @property
    def identity(self) -> str | None:
        """What ``Entry.identity`` will be once published; None when the storage cannot tell."""
        ...

    def write(self, number: int, offset: int, length: int, buffers: Iterable[Buffer]) -> PartReceipt:
        """Write block ``number`` (from 0) at ``offset``. Any order, unless ``limits.sequential``; again replaces.

        ``buffers`` must give exactly ``length`` bytes: fewer or more is ``Truncated``, and the block is not part
        of the object until it is written again.
        """
        ...

    def parts(self) -> Mapping[int, PartReceipt]:
        """The blocks the storage says it holds, by number; asked after a crash. Empty if it cannot say."""
        ...

    def seal(self) -> None:
        """Make every written block durable. Called once, after the last ``write``; an error means: start anew."""
        ...

    def read(self, offset: int, length: int) -> Iterator[Buffer]:
        """Read back what is stored, from the medium where that can be had. ``Unsupported`` unless
        ``limits.drafts_readable``."""
        ...

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        """Give the object its name, atomically and durably: a reader sees the old object or the whole new one.

        ``receipts`` are all blocks. ``if_absent`` and something there: ``AlreadyExists``, nothing changed.
        ``digests`` are over the whole object; a storage that can check them does so before the object is visible.
        A draft taken over by a newer attempt: ``Fenced``.
        """
        ...

    def discard(self) -> None:
        """Remove the draft and all it holds. Discarding what is gone already is fine."""
        ...


class Backend(Protocol):
    """A storage. All methods may block; all may be called from many threads."""

    @property
    def limits(self) -> Limits: ...

    @property
    def extras(self) -> Extras: ...

    def stat(self, path: str) -> Entry:
        """What is at ``path``. ``NotFound`` if nothing is; a link or device is ``Kind.OTHER``."""
        ...

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        """Stream what is below the folder ``prefix`` (empty, or ending in ``/``), in bounded memory.

        Recursive: every file and OTHER at any depth, no folders. Not recursive: the direct children, folders with
        a trailing slash. The order is the storage's own but stable; ``after`` is a path seen before, and the scan
        goes on behind it. Drafts are not listed. A missing folder is ``NotFound`` where the storage has folders.
        """
        ...

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        """Exactly ``length`` bytes from ``offset`` (None: to the end), or an error; never less.

        With ``version`` given and not the current one: ``SourceChanged``, before the first buffer. A range beyond
        the end is ``Truncated``. Closing the iterator early frees the connection.
        """
        ...

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        """Store a small object atomically and durably, replacing what is there unless ``if_absent``.

        ``digests`` that do not match ``data`` are ``DigestMismatch`` where the storage can check, and nothing is
        stored. ``key`` names the attempt and comes back as ``Entry.identity`` where the storage can remember it.
        """
        ...

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> Draft:
        """Begin an object of ``size`` bytes, or with ``ref`` take over the draft that another attempt began.

        ``key`` (letters, digits, ``-``, ``.``) names the attempt and is unique to it. Taking over fences the older
        attempt: its ``publish`` fails from now on. A ``ref`` that is gone is ``NotFound``. ``deferred``: the caller
        makes many drafts durable together with ``extras.sync``, so seal and publish need not do it themselves.
        """
        ...

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        """Remove whatever the draft ``key`` of ``path``, begun after ``since``, may have left.

        Works without ``ref`` (the process died before it could be recorded). Never touches anybody else's drafts
        nor the published object; nothing there is fine.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or an empty folder (trailing slash). ``NotFound`` if there is nothing."""
        ...


class Copy(Protocol):
    """Copy inside one storage, no byte through us. Atomic and durable, like ``Draft.publish``."""

    def __call__(
        self,
        source: str,
        destination: str,
        *,
        version: str | None,
        if_absent: bool,
        key: str,
        progress: Callable[[int], None],
    ) -> Entry:
        """``progress`` is called with the bytes copied since the last call; raising in it stops the copy."""
        ...


@dataclass(frozen=True, slots=True)
class CopiedAndRead:
    """A copy, and the CRC-64/NVME of all bytes that were read of its source and of itself."""

    entry: Entry
    source: str
    copy: str


class CopyAndRead(Protocol):
    """The same for a small file, read before and afterwards: where to look at an object takes a request, and to read
    it no more than that. What was read may differ: that is for the caller to judge."""

    def __call__(
        self, source: str, destination: str, *, version: str | None, if_absent: bool, key: str
    ) -> CopiedAndRead: ...


@dataclass(frozen=True, slots=True)
class Extras:
    """What a storage can do beyond the contract; None means it cannot.

    Values, not isinstance checks: a layer that says nothing denies, a layer may wrap and pass on.
    """

    copy: Copy | None = None
    copy_and_read: CopyAndRead | None = None
    digest: Callable[[str, str], str] | None = None
    """(path, algorithm) → hex: computed by the storage from what it stores. ``Unsupported`` for other algorithms."""
    presign: Callable[[str, timedelta], str] | None = None
    """(path, lifetime) → a URL that reads this file without a credential."""
    move: Callable[[str, str, bool], Entry] | None = None
    """(source, destination, if_absent): atomic rename."""
    mkdir: Callable[[str], None] | None = None
    """(folder with trailing slash): create it and its parents; there already is fine."""
    sync: Callable[[], None] | None = None
    """Make everything written by deferred drafts durable at once (syncfs)."""
    free: Callable[[], int] | None = None
    """Bytes that can still be written."""
    total: Callable[[], int] | None = None
    """Bytes that it holds in all, those that are taken among them."""
