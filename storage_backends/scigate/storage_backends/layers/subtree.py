"""A folder of a storage as a storage of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from ..backend import Backend, Buffer, CopiedAndRead, Digests, Draft, Entry, Extras, Kind, PartReceipt
from ..errors import InvalidName, NotFound, StorageError
from ..location import check_path
from .layer import Layer, LayeredDraft

T = TypeVar("T")


class SubtreeLayer(Layer):
    """``folder`` (with a trailing slash) is the root; nothing outside it can be named."""

    def __init__(self, inner: Backend, folder: str) -> None:
        super().__init__(inner)
        if not folder.endswith("/"):
            raise InvalidName(f"the folder {folder!r} is written with a trailing '/'", path=folder)
        self._folder = check_path(folder)

    @property
    def extras(self) -> Extras:
        has = self.inner.extras
        return replace(
            has,
            copy=self._copy if has.copy else None,
            copy_and_read=self._copy_and_read if has.copy_and_read else None,
            digest=self._digest if has.digest else None,
            presign=self._presign if has.presign else None,
            move=self._move if has.move else None,
            mkdir=self._mkdir if has.mkdir else None,
        )

    def stat(self, path: str) -> Entry:
        with self._ours():
            try:
                return self._shown(self.inner.stat(self._full(path)))
            except NotFound:
                if path == "":  # a root is there even while nothing is in it
                    return Entry("", Kind.FOLDER)
                raise

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        behind = None if after is None else self._full(after)
        with self._ours():
            try:
                for entry in self.inner.scan(self._full(prefix), after=behind, recursive=recursive):
                    yield self._shown(entry)
            except NotFound:
                if prefix != "":
                    raise

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        with self._ours():
            yield from self.inner.read(self._full(path), offset, length, version=version)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        with self._ours():
            return self._shown(self.inner.put(self._full(path), data, if_absent=if_absent, digests=digests, key=key))

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> Draft:
        with self._ours():
            inner = self.inner.draft(self._full(path), size, key=key, ref=ref, deferred=deferred)
        return SubtreeDraft(self, path, inner)

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        with self._ours():
            self.inner.abandon(self._full(path), key=key, ref=ref, since=since)

    def delete(self, path: str) -> None:
        if path == "":
            raise InvalidName("the root of a storage cannot be deleted", path=path)
        with self._ours():
            self.inner.delete(self._full(path))

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        with self._ours():
            return run()

    def shown(self, entry: Entry) -> Entry:
        """The entry as it is named here."""
        return self._shown(entry)

    def _full(self, path: str) -> str:
        return self._folder + check_path(path)

    def _shown(self, entry: Entry) -> Entry:
        return replace(entry, path=entry.path.removeprefix(self._folder))

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Errors name the path as it is here."""
        try:
            yield
        except StorageError as error:
            if error.path is not None:
                error.path = error.path.removeprefix(self._folder)
            raise

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
        copy = _claimed(self.inner.extras.copy)
        full = (self._full(source), self._full(destination))
        with self._ours():
            return self._shown(copy(*full, version=version, if_absent=if_absent, key=key, progress=progress))

    def _copy_and_read(
        self, source: str, destination: str, *, version: str | None, if_absent: bool, key: str
    ) -> CopiedAndRead:
        full = (self._full(source), self._full(destination))
        with self._ours():
            made = _claimed(self.inner.extras.copy_and_read)(*full, version=version, if_absent=if_absent, key=key)
        return replace(made, entry=self._shown(made.entry))

    def _digest(self, path: str, algorithm: str) -> str:
        with self._ours():
            return _claimed(self.inner.extras.digest)(self._full(path), algorithm)

    def _presign(self, path: str, lifetime: timedelta) -> str:
        with self._ours():
            return _claimed(self.inner.extras.presign)(self._full(path), lifetime)

    def _move(self, source: str, destination: str, if_absent: bool) -> Entry:
        with self._ours():
            move = _claimed(self.inner.extras.move)
            return self._shown(move(self._full(source), self._full(destination), if_absent))

    def _mkdir(self, path: str) -> None:
        with self._ours():
            _claimed(self.inner.extras.mkdir)(self._full(path))


class SubtreeDraft(LayeredDraft):
    """A draft that becomes an entry named as in the subtree."""

    def __init__(self, layer: SubtreeLayer, path: str, inner: Draft) -> None:
        super().__init__(layer, path, inner)
        self._subtree = layer

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        return self._subtree.shown(super().publish(receipts, if_absent=if_absent, digests=digests))


def _claimed(extra: T | None) -> T:
    assert extra is not None, "offered only when the backend inside has it"
    return extra
