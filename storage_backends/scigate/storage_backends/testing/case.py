"""What a conformance case is, and the bench it works at."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias
from uuid import uuid4

from ..backend import Backend, Buffer, Draft, Entry, KiB, Kind, PartReceipt
from ..errors import NotFound, StorageError

Claim: TypeAlias = Callable[[Backend], bool]
Check: TypeAlias = Callable[["Bench"], None]
Seed: TypeAlias = Callable[[str, bytes], None]

SMALLEST_UNIT: Final = 64 * KiB  # smaller blocks would test the storage, not what it does with blocks


class Failed(AssertionError):
    """The backend broke its promise; the message says what was seen."""


class Unseeded(Exception):
    """The case needs a file at a read-only storage, and nobody can place one."""


def require(condition: object, seen: str) -> None:
    """Fail the case unless ``condition``; unlike ``assert`` it also works under ``python -O``."""
    if not condition:
        raise Failed(seen)


def anything(backend: Backend) -> bool:
    return True


def writable(backend: Backend) -> bool:
    """limits.read_only is not set"""
    return not backend.limits.read_only


def listable(backend: Backend) -> bool:
    """limits.listable"""
    return backend.limits.listable


def atomic(backend: Backend) -> bool:
    """limits.atomic_no_replace, and limits.read_only is not set"""
    return writable(backend) and backend.limits.atomic_no_replace


def putting(backend: Backend) -> bool:
    """limits.put_max above zero, and limits.read_only is not set"""
    return writable(backend) and backend.limits.put_max > 0


def read_only(backend: Backend) -> bool:
    """limits.read_only"""
    return backend.limits.read_only


def claims(extra: str) -> Claim:
    """The claim of one of the extras."""

    def claim(backend: Backend) -> bool:
        return getattr(backend.extras, extra) is not None

    claim.__doc__ = f"extras.{extra}"
    return claim


def writable_and_listable(backend: Backend) -> bool:
    """limits.listable, and limits.read_only is not set"""
    return writable(backend) and listable(backend)


@dataclass(frozen=True, slots=True)
class Case:
    """One sentence of the contract and how it is checked; ``claim`` says on which backends."""

    name: str
    promise: str
    check: Check
    claim: Claim = anything

    def __str__(self) -> str:
        return self.name


class Cases(list[Case]):
    """The cases about one subject, in the order in which they are written."""

    def __init__(self, subject: str, claim: Claim = anything) -> None:
        super().__init__()
        self.subject, self.claim = subject, claim

    def case(self, claim: Claim | None = None) -> Callable[[Check], Check]:
        """Add the function below; its name is the case's, its docstring the promise."""

        def add(check: Check) -> Check:
            name = f"{self.subject}.{check.__name__.replace('_', '-')}"
            promise = " ".join((check.__doc__ or "").split())
            self.append(Case(name, promise, check, claim or self.claim))
            return check

        return add


@dataclass
class Bench:
    """A storage, an empty folder of it for one case, and what cases need again and again."""

    backend: Backend
    open_backend: Callable[[], Backend]
    folder: str
    seed: Seed | None = None
    secrets: tuple[str, ...] = ()
    many: int = 1200
    since: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=5))
    begun: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def unit(self) -> int:
        """A block length that this storage takes."""
        return max(self.backend.limits.block_min, SMALLEST_UNIT)

    def path(self, name: str) -> str:
        return self.folder + name

    def place(self, name: str, data: bytes) -> str:
        """Have ``data`` at ``name``, by the storage's own means or, on a read-only one, by the seed."""
        path = self.path(name)
        if self.seed is not None:
            self.seed(path, data)
        elif self.backend.limits.read_only:
            raise Unseeded
        elif len(data) <= self.backend.limits.put_max:
            self.backend.put(path, data)
        else:
            self.publish(self.draft(path, len(data)), data)
        return path

    def draft(self, path: str, size: int, *, backend: Backend | None = None, ref: str | None = None) -> Draft:
        """Begin a draft, or take one over, under a new key; what is left of it is removed after the case."""
        key = new_key()
        self.begun.append((path, key, ref))
        draft = (backend or self.backend).draft(path, size, key=key, ref=ref)
        self.begun[-1] = (path, key, draft.ref)
        return draft

    def key_of(self, draft: Draft) -> str:
        """The key under which a draft was begun."""
        return next(key for _, key, ref in reversed(self.begun) if ref == draft.ref)

    def write(self, draft: Draft, data: bytes, numbers: Iterable[int] | None = None) -> list[PartReceipt]:
        """Write ``data`` in blocks of one unit, or only the blocks ``numbers``, in that order."""
        unit = self.unit
        order = range(-(-len(data) // unit)) if numbers is None else numbers
        blocks = ((n, data[n * unit : (n + 1) * unit]) for n in order)
        return [draft.write(n, n * unit, len(block), pieces(block)) for n, block in blocks]

    def publish(self, draft: Draft, data: bytes, *, if_absent: bool = False) -> Entry:
        """Write all of ``data`` and publish it."""
        receipts = self.write(draft, data)
        draft.seal()
        return draft.publish(receipts, if_absent=if_absent, digests={})

    def content(self, path: str, backend: Backend | None = None) -> bytes:
        return b"".join(bytes(buffer) for buffer in (backend or self.backend).read(path))

    def holds(self, path: str, data: bytes, backend: Backend | None = None) -> None:
        """Fail unless exactly ``data`` is at ``path``, by stat and by read."""
        entry = (backend or self.backend).stat(path)
        require(entry.kind is Kind.FILE, f"stat says {entry.kind}, not file")
        require(entry.size == len(data), f"stat says {entry.size} bytes, {len(data)} were written")
        require(self.content(path, backend) == data, "what is read differs from what was written")

    def absent(self, path: str) -> None:
        """Fail unless there is nothing at ``path``, by stat and by scan."""
        with self.fails(NotFound):
            self.backend.stat(path)
        require(path not in self.names(), "stat finds nothing, but scan lists it")

    def names(self, folder: str | None = None, *, recursive: bool = True, after: str | None = None) -> list[str]:
        """The paths that a scan gives; a folder that is not there has none."""
        if not listable(self.backend):
            return []
        try:
            where = self.folder if folder is None else folder
            return [entry.path for entry in self.backend.scan(where, after=after, recursive=recursive)]
        except NotFound:
            return []

    @contextmanager
    def fails(self, *expected: type[StorageError]) -> Iterator[None]:
        """Fail unless the block raises one of ``expected``, in a sentence without secrets."""
        wanted = " or ".join(error.__name__ for error in expected)
        try:
            yield
        except StorageError as error:
            self.inspect(error)
            require(isinstance(error, expected), f"raised {type(error).__name__} ({error}), not {wanted}")
        else:
            raise Failed(f"nothing was raised where {wanted} was due")

    def refused(self, action: Callable[[], object], *expected: type[StorageError]) -> bool:
        """Whether ``action`` was refused with one of ``expected``; for what a storage may do or refuse."""
        try:
            action()
        except StorageError as error:
            self.inspect(error)
            require(isinstance(error, expected or StorageError), f"refused with {type(error).__name__}: {error}")
            return True
        return False

    def inspect(self, error: StorageError) -> None:
        """Fail if an error has nothing to say or says too much."""
        require(error.message.strip(), f"{type(error).__name__} has no message")
        shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + error.next_step
        require(not any(secret in shown for secret in self.secrets), f"{type(error).__name__} shows a secret")


@lru_cache(maxsize=16)
def sample(size: int, seed: int = 0) -> bytes:
    """Bytes that do not repeat, the same in every run."""
    return random.Random(seed).randbytes(size)


def pieces(data: bytes, size: int = 200 * KiB) -> Iterator[Buffer]:
    """``data`` as an iterator of buffers."""
    view = memoryview(data)
    return (view[start : start + size] for start in range(0, len(data), size))


def new_key() -> str:
    """A key as the engine makes them: unique to an attempt."""
    return f"case-{uuid4().hex[:16]}"
