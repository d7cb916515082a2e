"""Storage in the memory of this process: for demos and tests, and the smallest whole example of a backend.

It is flat like an object store: a folder is there while something is below it. All that is stored is immutable
(an object is a tuple of blocks), so a reader keeps the version it began with and only the tables need a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final

from pydantic import Field, PrivateAttr

from .backend import Buffer, CopiedAndRead, Digests, Entry, Extras, GiB, Kind, Limits, MiB, PartReceipt
from .digests import digest, require_digests
from .errors import (
    AlreadyExists,
    Fenced,
    InvalidName,
    NoSpace,
    NotFound,
    Permanent,
    SourceChanged,
    Truncated,
)
from .location import check_path
from .registry import BackendType, Connect, Options

BUFFER: Final = MiB  # what a reader gets at once
OWN_DIGESTS: Final = ("sha-256", "md5")  # of each object, taken when it is stored


@dataclass(frozen=True, slots=True)
class Stored:
    entry: Entry
    blocks: tuple[bytes, ...]


@dataclass(slots=True)
class Unpublished:
    path: str
    key: str  # of the attempt that owns it now
    size: int
    blocks: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # number → offset, data


@dataclass(slots=True)
class Contents:
    """What is stored; shared by all clients of one storage."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    objects: dict[str, Stored] = field(default_factory=dict)
    size: int = 0  # of all objects
    drafts: dict[str, Unpublished] = field(default_factory=dict)  # by ref
    numbers: Iterator[int] = field(default_factory=count)

    def used(self) -> int:
        return self.size + sum(len(data) for draft in self.drafts.values() for _, data in draft.blocks.values())

    def set(self, path: str, stored: Stored | None) -> None:
        """Put an object at ``path`` or, with None, remove the one that is there."""
        old = self.objects.pop(path, None)
        self.size -= old.entry.size if old else 0
        if stored:
            self.objects[path] = stored
            self.size += stored.entry.size


class MemoryOptions(Options):
    """``capacity`` in bytes. One options value is one storage: opened twice, it is the same memory."""

    capacity: int = Field(default=GiB, ge=0)
    _contents: Contents = PrivateAttr(default_factory=Contents)

    @property
    def contents(self) -> Contents:
        return self._contents


class MemoryDraft:
    """Blocks by number, owned by the attempt that opened the draft last."""

    def __init__(self, backend: MemoryBackend, ref: str, key: str) -> None:
        self.ref = ref
        self.identity: str | None = key
        self._backend, self._contents = backend, backend.contents

    def write(self, number: int, offset: int, length: int, buffers: Iterable[Buffer]) -> PartReceipt:
        with self._contents.lock:
            self._owned().blocks.pop(number, None)  # a failed rewrite must not leave the old block behind
        data = _exactly(buffers, length)
        with self._contents.lock:
            self._backend.reserve(length)
            self._owned().blocks[number] = (offset, data)
        return PartReceipt(number, offset, length)

    def parts(self) -> dict[int, PartReceipt]:
        with self._contents.lock:
            return {n: PartReceipt(n, offset, len(data)) for n, (offset, data) in self._owned().blocks.items()}

    def seal(self) -> None:
        """Nothing to do: memory is as durable as it gets."""

    def read(self, offset: int, length: int) -> Iterator[Buffer]:
        with self._contents.lock:
            blocks = _in_order(self._owned())
        yield from _slices(blocks, offset, length)

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        named = {receipt.number for receipt in receipts}
        with self._contents.lock:
            draft = self._owned()
            blocks = _in_order(draft)
            if sum(map(len, blocks)) != draft.size or named != set(draft.blocks):
                raise Truncated(f"the blocks written do not make up the {draft.size} bytes promised", path=draft.path)
            entry = self._backend.store(draft.path, blocks, if_absent=if_absent, digests=digests, key=draft.key)
            del self._contents.drafts[self.ref]
            return entry

    def discard(self) -> None:
        with self._contents.lock:
            draft = self._contents.drafts.get(self.ref)
            if draft and draft.key == self.identity:
                del self._contents.drafts[self.ref]

    def _owned(self) -> Unpublished:
        draft = self._contents.drafts.get(self.ref)
        if draft is None or draft.key != self.identity:
            raise Fenced("a newer attempt has taken this draft over, or finished or removed it")
        return draft


class MemoryBackend:
    """See ``scigate.storage_backends.backend.Backend`` for what the methods promise."""

    def __init__(self, contents: Contents, capacity: int) -> None:
        self.contents, self.capacity = contents, capacity
        self.limits = Limits(local=True, block_max=64 * MiB, largest=capacity, drafts_readable=True)
        self.extras = Extras(
            copy=self._copy, copy_and_read=self._copy_and_read, digest=self._digest, move=self._move, free=self._free,
            total=lambda: self.capacity,
        )  # fmt: skip

    def stat(self, path: str) -> Entry:
        with self.contents.lock:
            if path == "" or (path.endswith("/") and any(name.startswith(path) for name in self.contents.objects)):
                return Entry(path, Kind.FOLDER)
        return self._stored(path).entry

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        _folder(prefix)
        with self.contents.lock:
            found = sorted(item for item in self.contents.objects.items() if item[0].startswith(prefix))
        seen = after
        for path, stored in found:
            below, slash, _ = path[len(prefix) :].partition("/")
            name = path if recursive else prefix + below + slash
            if seen is None or name > seen:
                seen = name
                yield stored.entry if name == path else Entry(name, Kind.FOLDER)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        stored = self._stored(path, version)
        length = max(stored.entry.size - offset, 0) if length is None else length
        if offset + length > stored.entry.size:
            raise Truncated(f"it has {stored.entry.size} bytes, not {offset + length}", path=path)
        return _slices(stored.blocks, offset, length)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        with self.contents.lock:
            old = self.contents.objects.get(path)
            self.reserve(len(data) - (old.entry.size if old else 0))
            return self.store(path, (bytes(data),), if_absent=if_absent, digests=digests or {}, key=key)

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> MemoryDraft:
        _name(path)
        with self.contents.lock:
            if ref is None:
                ref = f"{key}.{next(self.contents.numbers)}"
                self.contents.drafts[ref] = Unpublished(path, key, size)
            elif ref not in self.contents.drafts or self.contents.drafts[ref].path != path:
                raise NotFound("the draft is gone: it was published or removed", path=path)
            self.contents.drafts[ref].key = key  # fences the attempt before
        return MemoryDraft(self, ref, key)

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        with self.contents.lock:
            for name, draft in list(self.contents.drafts.items()):
                if (draft.path, draft.key) == (path, key):
                    del self.contents.drafts[name]

    def delete(self, path: str) -> None:
        with self.contents.lock:
            if self.stat(path).kind is Kind.FOLDER:
                raise Permanent("the folder is not empty", path=path, next_step="Delete what is in it first.")
            self.contents.set(path, None)

    def store(self, path: str, blocks: tuple[bytes, ...], *, if_absent: bool, digests: Digests, key: str) -> Entry:
        """Make ``blocks`` the object at ``path``; the one place where anything becomes visible."""
        require_digests(blocks, digests, path)
        own = {name: digest(name, blocks) for name in OWN_DIGESTS}
        with self.contents.lock:
            if if_absent and path in self.contents.objects:
                raise AlreadyExists("something is here already", path=path)
            entry = Entry(
                _name(path),
                size=sum(map(len, blocks)),
                modified=datetime.now(UTC),
                version=str(next(self.contents.numbers)),
                digests=own,
                identity=key or None,
            )
            self.contents.set(path, Stored(entry, blocks))
            return entry

    def reserve(self, size: int) -> None:
        """Raise ``NoSpace`` unless ``size`` more bytes fit; the caller holds the lock until it has stored them."""
        if size > self._free():
            raise NoSpace(f"{size} bytes do not fit: {self._free()} of {self.capacity} bytes are free")

    def _stored(self, path: str, version: str | None = None) -> Stored:
        with self.contents.lock:
            stored = self.contents.objects.get(path)
        if stored is None:
            raise NotFound("there is nothing here", path=path)
        if version is not None and version != stored.entry.version:
            raise SourceChanged("it was written to since this version was seen", path=path)
        return stored

    def _copy(
        self,
        source: str,
        destination: str,
        *,
        version: str | None,
        if_absent: bool,
        key: str,
        progress: Callable[[int], None],
    ) -> Entry:
        stored = self._stored(source, version)
        for block in stored.blocks:
            progress(len(block))
        with self.contents.lock:
            self.reserve(stored.entry.size)
            return self.store(destination, stored.blocks, if_absent=if_absent, digests={}, key=key)

    def _copy_and_read(
        self, source: str, destination: str, *, version: str | None, if_absent: bool, key: str
    ) -> CopiedAndRead:
        before = digest("crc64nvme", self._stored(source, version).blocks)
        entry = self._copy(
            source, destination, version=version, if_absent=if_absent, key=key, progress=lambda length: None
        )
        return CopiedAndRead(entry, before, self._digest(destination, "crc64nvme"))

    def _move(self, source: str, destination: str, if_absent: bool) -> Entry:
        with self.contents.lock:
            stored = self._stored(source)
            if if_absent and destination in self.contents.objects:
                raise AlreadyExists("something is here already", path=destination)
            entry = replace(stored.entry, path=_name(destination))
            self.contents.set(source, None)
            self.contents.set(destination, Stored(entry, stored.blocks))
            return entry

    def _digest(self, path: str, algorithm: str) -> str:
        return digest(algorithm, self._stored(path).blocks)

    def _free(self) -> int:
        with self.contents.lock:
            return max(self.capacity - self.contents.used(), 0)


def _exactly(buffers: Iterable[Buffer], length: int) -> bytes:
    data = bytearray()
    for buffer in buffers:
        data += buffer
        if len(data) > length:
            raise Truncated(f"more than the {length} bytes promised arrived")
    if len(data) < length:
        raise Truncated(f"{len(data)} of {length} bytes arrived")
    return bytes(data)


def _in_order(draft: Unpublished) -> tuple[bytes, ...]:
    """The blocks up to the first hole or overlap."""
    blocks, end = [], 0
    for offset, data in sorted(draft.blocks.values(), key=lambda block: block[0]):
        if offset != end:
            break
        blocks.append(data)
        end += len(data)
    return tuple(blocks)


def _slices(blocks: Iterable[bytes], offset: int, length: int) -> Iterator[Buffer]:
    for block in blocks:
        inside = memoryview(block)[offset : offset + length]
        for start in range(0, len(inside), BUFFER):
            yield inside[start : start + BUFFER]
        length -= len(inside)
        offset = max(offset - len(block), 0)


def _name(path: str) -> str:
    if path == "" or path.endswith("/"):
        raise InvalidName(f"{path!r} names a folder, not a file", path=path)
    return check_path(path)


def _folder(path: str) -> None:
    if path and not path.endswith("/"):
        raise InvalidName(f"the folder {path!r} is written with a trailing '/'", path=path)


def _open(options: MemoryOptions, connect: Connect) -> MemoryBackend:
    return MemoryBackend(options.contents, options.capacity)


TYPE = BackendType("memory", "memory of this process, for demos and tests", MemoryOptions, _open)
