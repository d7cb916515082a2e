"""The base of all layers: a backend around a backend that passes everything on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import ParamSpec, TypeVar

from ..backend import Backend, Buffer, Digests, Draft, Entry, Extras, Limits, PartReceipt

T = TypeVar("T")
P = ParamSpec("P")


class Layer:
    """Passes every operation on, each through one of four hooks; a layer overrides the hooks that concern it.

    Extras are denied unless a layer says otherwise, so that none is passed on by a layer that knows nothing of it:
    ``extras = Layer.wrapped`` passes all of them on, through ``call``.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    # --- hooks ---------------------------------------------------------------------------------------------------

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        """An operation that ends when it returns; ``size`` bytes go to the storage with it."""
        return run()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        """A read of an object or of a draft, from ``offset`` of the whole; ends when its iterator does."""
        return start()

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        """A scan; ends when its iterator does."""
        return start()

    def writing(self, path: str, offset: int, buffers: Iterable[Buffer]) -> Iterable[Buffer]:
        """What goes into a block, from ``offset`` of the whole."""
        return buffers

    # --- the contract --------------------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    @property
    def extras(self) -> Extras:
        return Extras()

    @property
    def wrapped(self) -> Extras:
        """All extras of the backend inside, each through ``call``."""
        inner = self.inner.extras
        return Extras(
            copy=self._wrap("copy", inner.copy),
            copy_and_read=self._wrap("copy", inner.copy_and_read),
            digest=self._wrap("digest", inner.digest),
            presign=self._wrap("presign", inner.presign),
            move=self._wrap("move", inner.move),
            mkdir=self._wrap("mkdir", inner.mkdir),
            sync=self._wrap("sync", inner.sync),
            free=self._wrap("free", inner.free),
            total=self._wrap("total", inner.total),
        )

    def stat(self, path: str) -> Entry:
        return self.call("stat", path, lambda: self.inner.stat(path))

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        return self.listing(prefix, lambda: self.inner.scan(prefix, after=after, recursive=recursive))

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        return self.reading(path, offset, lambda: self.inner.read(path, offset, length, version=version))

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        def run() -> Entry:
            return self.inner.put(path, data, if_absent=if_absent, digests=digests, key=key)

        return self.call("put", path, run, len(data))

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> Draft:
        def run() -> Draft:
            return self.inner.draft(path, size, key=key, ref=ref, deferred=deferred)

        return LayeredDraft(self, path, self.call("draft", path, run))

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        self.call("abandon", path, lambda: self.inner.abandon(path, key=key, ref=ref, since=since))

    def delete(self, path: str) -> None:
        self.call("delete", path, lambda: self.inner.delete(path))

    def _wrap(self, operation: str, run: Callable[P, T] | None) -> Callable[P, T] | None:
        if run is None:
            return None

        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(operation, str(args[0]) if args else "", lambda: run(*args, **kwargs))

        return wrapped


class LayeredDraft:
    """A draft whose operations go through the hooks of a layer."""

    def __init__(self, layer: Layer, path: str, inner: Draft) -> None:
        self.inner = inner
        self._layer, self._path = layer, path

    @property
    def ref(self) -> str:
        return self.inner.ref

    @property
    def identity(self) -> str | None:
        return self.inner.identity

    def write(self, number: int, offset: int, length: int, buffers: Iterable[Buffer]) -> PartReceipt:
        def run() -> PartReceipt:
            return self.inner.write(number, offset, length, self._layer.writing(self._path, offset, buffers))

        return self._layer.call("write", self._path, run, length)

    def parts(self) -> Mapping[int, PartReceipt]:
        return self._layer.call("parts", self._path, self.inner.parts)

    def seal(self) -> None:
        self._layer.call("seal", self._path, self.inner.seal)

    def read(self, offset: int, length: int) -> Iterator[Buffer]:
        return self._layer.reading(self._path, offset, lambda: self.inner.read(offset, length))

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        def run() -> Entry:
            return self.inner.publish(receipts, if_absent=if_absent, digests=digests)

        return self._layer.call("publish", self._path, run)

    def discard(self) -> None:
        self._layer.call("discard", self._path, self.inner.discard)
