"""The use cases of downloading: a file with its digests or its presigned URL, a folder as an archive."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from scigate.storage_backends.backend import Backend, Buffer, Entry, GiB, Kind
from scigate.storage_backends.digests import start
from scigate.storage_backends.errors import DigestMismatch, NotFound, NotRegular, Unsupported
from scigate.storage_backends.location import check_path

from ..actor import Actor
from ..policy import check_storage
from ..problems import Problem
from ..resources import ArchiveKind
from ..settings import LimitsSection
from ..storages import OpenStorage, Storages
from .archive import Archive, Folder
from .digests import to_compute, told
from .manifest import Origin
from .members import top_folder

COMPUTED_MAX: Final = GiB
"""A digest that a storage has to compute first is computed for files up to this size: the client waits for it."""

CHEAPEST_FIRST: Final = ("crc64nvme", "crc32c", "adler", "sha-256", "sha-512", "md5", "blake3")
RETRY: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Download:
    """A file that may be read: what it is, and its bytes by (offset, length), of this version only."""

    entry: Entry
    read: Callable[[int, int], Iterator[Buffer]]
    digests: Callable[[Mapping[str, int]], dict[str, str]]
    """(``Want-Repr-Digest`` by algorithm) → what can be told. May take as long as reading the file."""
    link: Callable[[], str] | None
    """A URL that reads the file without a credential, a secret; None: the bytes go through us."""


class Downloads:
    """What people can fetch. Every method may block; refusals are ``Problem`` or ``StorageError``."""

    def __init__(self, storages: Storages, limits: LimitsSection) -> None:
        self._storages, self._limits = storages, limits
        self._places = Places(limits.archives, limits.archives_per_user)

    def file(self, actor: Actor, storage: str, path: str) -> Download:
        """A regular file, ready to be read."""
        opened = self._readable(actor, storage)
        backend = opened.backend
        entry = backend.stat(check_path(path))
        if entry.kind is not Kind.FILE:
            raise NotRegular(f"{storage}:/{path} is not a regular file", path=path)
        return Download(
            entry,
            partial(_read, backend, replace(entry, path=path)),
            partial(_digests, opened, entry),
            self._link(opened, path),
        )

    def archive(self, actor: Actor, storage: str, path: str, kind: ArchiveKind, after: str | None) -> Archive:
        """All files below a folder as one archive; ``after`` is the last one that came whole the last time.

        Nothing has been read yet: a folder that is not there is told by the first piece. The caller closes it.
        """
        opened = self._readable(actor, storage)
        if path and not path.endswith("/"):
            raise self._no_folder(opened.backend, storage, path)
        folder = Folder(opened.backend, check_path(path), top_folder(storage, path), _behind(path, after))
        give_back = self._places.take(actor.id)
        try:
            return Archive(folder, Origin(storage, path, after), kind, give_back)
        except BaseException:
            give_back()
            raise

    @staticmethod
    def _no_folder(backend: Backend, storage: str, path: str) -> NotRegular:
        where = f"{storage}:/{path}"
        try:
            kind = backend.stat(check_path(path)).kind
        except NotFound:  # an object storage has folders only by the names below them
            kind = backend.stat(check_path(f"{path}/")).kind
        if kind is Kind.FOLDER:
            return NotRegular(f"{where} is a folder: write a '/' behind its name", path=path,
                              next_step=f"Ask for {where}/.")  # fmt: skip
        return NotRegular(f"{where} is a file; only a folder comes as an archive", path=path,
                          next_step="Ask for it without 'archive', or for the folder that it is in.")  # fmt: skip

    def _readable(self, actor: Actor, name: str) -> OpenStorage:
        check_storage(actor, name, self._storages.section(name), write=False)
        return self._storages.get(name)

    def _link(self, storage: OpenStorage, path: str) -> Callable[[], str] | None:
        presign = storage.backend.extras.presign
        if presign is None or not storage.settings.presign_downloads:
            return None
        return partial(presign, path, self._limits.presign_lifetime)


class Places:
    """How many archives go out at once: of all, and of one user. Thread-safe."""

    def __init__(self, total: int, per_user: int) -> None:
        self._total, self._per_user = total, per_user
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, user: str) -> Callable[[], None]:
        """Take a place; returns what gives it back. ``Problem`` if there is none."""
        with self._lock:
            if self._taken[user] >= self._per_user:
                raise _busy(429, f"You have {self._per_user} archives on their way already.", "Wait until one has come")
            if self._taken.total() >= self._total:
                raise _busy(503, "The gateway sends as many archives as it can.", "Try again later")
            self._taken[user] += 1
        return partial(self._give_back, user)

    def _give_back(self, user: str) -> None:
        with self._lock:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]


def _read(backend: Backend, entry: Entry, offset: int, length: int) -> Iterator[Buffer]:
    buffers = backend.read(entry.path, offset, length, version=entry.version)
    return _proven(buffers, entry) if (offset, length) == (0, entry.size) else buffers


def _proven(buffers: Iterator[Buffer], entry: Entry) -> Iterator[Buffer]:
    """All bytes of a file, compared with a digest that its storage vouches for. Raises ``DigestMismatch`` before the
    last ones: not every client compares them."""
    running = start([name for name in CHEAPEST_FIRST if name in entry.digests][:1])
    got = 0
    for buffer in buffers:
        got += len(buffer)
        for digest in running.values():
            digest.update(buffer)
        if got == entry.size and any(entry.digests[name] != one.hexdigest() for name, one in running.items()):
            raise DigestMismatch("what arrived has another digest than what is stored", path=entry.path)
        yield buffer


def _digests(storage: OpenStorage, entry: Entry, wanted: Mapping[str, int]) -> dict[str, str]:
    """What the storage has, else what it can compute of this version."""
    compute = storage.backend.extras.digest
    if compute is not None and entry.size <= COMPUTED_MAX:
        for algorithm in to_compute(entry.digests, wanted):
            try:
                value = compute(entry.path, algorithm)
            except Unsupported:
                continue
            if entry.version is not None and storage.backend.stat(entry.path).version == entry.version:
                return {algorithm: value}
            break  # it was written to meanwhile
    return told(entry.digests, wanted)


def _behind(folder: str, after: str | None) -> str | None:
    if after is None:
        return None
    if not check_path(after).startswith(folder) or after == folder:
        raise Problem(
            422, "invalid", "The archive cannot begin there.",
            detail=f"after: {after!r} is not below {folder!r}.",
            next_step="Give the path of a file below the folder, from the root of the storage.",
        )  # fmt: skip
    return after


def _busy(status: int, title: str, next_step: str) -> Problem:
    advice = f"{next_step}, or fetch the files one by one."
    return Problem(status, "too-many-archives", title, next_step=advice, retriable=True, retry_after=RETRY)
