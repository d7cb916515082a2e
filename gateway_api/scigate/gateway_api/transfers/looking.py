"""What is where, before a byte moves: the source, the destination, and what earlier attempts left there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from scigate.storage_backends.backend import Backend, Digests, Entry, Kind
from scigate.storage_backends.errors import (
    AlreadyExists,
    DigestMismatch,
    ErrorKind,
    Fenced,
    InvalidName,
    Misconfigured,
    NotFound,
    NotRegular,
    StorageError,
    Throttled,
    TooLarge,
    Unsupported,
)

from ..resources import Cause
from ..uploads.staged import is_staging
from .machine import Failure
from .planner import Verdict, judge
from .runtime import OUTSIDE, Runtime, at, crc64nvme_of, guarded
from .tasks import OldDraft, Task

POISONED_AFTER: Final = 3  # surprises in a row, after which a file is not tried again by itself
NO_THREAD: Final = "can't start new thread"  # what the interpreter says when there is no room for its stack
_MEMORY: Final = "It is tried again by itself; the administrator can give the gateway more memory, or fewer slots."


def source_entry(runtime: Runtime, task: Task, source: Backend, path: str) -> Entry:
    """The source as it is now. Raises ``NotRegular`` for what cannot be copied."""
    with at(task.source_storage):
        entry = source.stat(path)
        if entry.kind is not Kind.FILE:
            raise NotRegular(entry.note or f"the source is a {entry.kind}, not a file", path=path)
    return entry


def known_entry(task: Task, path: str) -> Entry | None:
    """The source as the listing of its folder told; None if that is not enough. Only at the first attempt: later ones
    find here what an earlier one wrote down, without the digests that the source promises."""
    if task.held.size is None or not is_known(task):
        return None
    modified = None if task.source_modified is None else datetime.fromtimestamp(task.source_modified, UTC)
    return Entry(path, size=task.held.size, version=task.source_version, modified=modified)


def is_known(task: Task) -> bool:
    """Whether the listing told enough of the source that nobody need ask for it again."""
    return task.held.size is not None and task.source_version is not None and task.held.epoch <= 1


def existing_entry(task: Task, destination: Backend) -> Entry | None:
    """What is at the destination now; None if nothing is."""
    with at(task.destination_storage):
        try:
            return destination.stat(task.destination_path)
        except NotFound:
            return None


def verdict(runtime: Runtime, task: Task, source: Backend, entry: Entry, destination: Backend) -> Verdict:
    """GO or SKIP, by the overwrite policy and, where that needs it, by the contents. Raises ``AlreadyExists``,
    ``TooLarge`` for an upload whose contents cannot be compared."""
    existing = existing_entry(task, destination)
    found = judge(task.overwrite, entry, existing)
    if found is not Verdict.COMPARE:
        return found
    if runtime.receiving.is_never_whole_here(task.source_storage, entry.size):
        raise TooLarge(
            "something of the same size is there already, and an upload larger than the room for uploads "
            "(limits.staging_quota) is never here as a whole to be compared with it",
            path=task.destination_path,
            next_step="Delete what is there, or send the file again with another policy for what exists (overwrite).",
        )
    if entry.version is None or entry.version != task.source_version:
        task = replace(task, digests={})  # they are of what an earlier attempt has read
    return Verdict.SKIP if holds_same(runtime, task, source, entry.path, destination) else Verdict.GO


def was_published(task: Task, destination: Backend) -> Entry | None:
    """The destination, if an attempt that was cut off before it could say so has published it already."""
    identities = {name for old in task.old_drafts for name in (old.identity, old.key) if name}
    existing = existing_entry(task, destination) if identities else None
    return existing if existing is not None and existing.identity in identities else None


def or_made_before(task: Task, destination: Backend, make: Callable[[], Entry]) -> Entry:
    """What ``make`` made at the destination, or what is there because an attempt that was cut off had asked for it: a
    storage may do that only after this attempt has looked. Raises ``AlreadyExists`` for what somebody else made."""
    try:
        return make()
    except AlreadyExists:
        entry = was_published(task, destination)
        if entry is None:
            raise
        return entry


def holds_same(runtime: Runtime, task: Task, source: Backend, path: str, destination: Backend) -> bool:
    """Whether the destination's content is what was, or is to be, copied."""
    expected = task.digests.get("crc64nvme") or _crc(runtime, task, source, path)
    return expected == _crc(runtime, task, destination, task.destination_path)


def refuse_broken_promise(entry: Entry, found: Digests) -> None:
    """Compare what was read with the digests that the source vouches for. Raises ``DigestMismatch``."""
    for name in entry.digests.keys() & found.keys():
        if entry.digests[name] != found[name]:
            raise DigestMismatch(
                f"the source promises {name} {entry.digests[name]}, but what was read has {found[name]}",
                path=entry.path,
            )


def abandon(runtime: Runtime, file: int, destination: Backend, path: str, drafts: Sequence[OldDraft]) -> None:
    """Remove what earlier attempts left; this also fences them, should one still be alive."""
    for old in drafts:
        since = datetime.fromtimestamp(old.created, UTC)
        with suppress(InvalidName):  # a name that the storage cannot have holds no draft either
            destination.abandon(path, key=old.key, ref=old.ref, since=since)
    if drafts:
        runtime.work.forget_drafts([(file, old.epoch) for old in drafts])


def failure_of(error: Exception, failures: int) -> Failure:
    """An error as the state machine sees it. What is not a ``StorageError`` is a bug: it is tried a few times."""
    if isinstance(error, AlreadyExists) and error.path is not None:  # each storage has its own words for it
        message = f"the destination exists already: {error.path}"
        cause = Cause(code=error.code, message=message, retriable=False, next_step=error.next_step)
        return Failure(error.kind, cause)
    if isinstance(error, StorageError):
        wish, untouched = getattr(error, "retry_after", None), isinstance(error, Throttled) and error.untouched
        # Who still owns the file was not overtaken: somebody removed its draft, and it begins anew. Wrong settings, or
        # a file system that is not mounted, are put right by an administrator: no reason to lose what was promised.
        kind = ErrorKind.TRANSIENT if isinstance(error, Fenced | Misconfigured) else error.kind
        retriable = kind is not ErrorKind.PERMANENT
        named = error.storage and error.storage != OUTSIDE and not is_staging(error.storage)
        where = f"{error.storage}: " if named else ""
        cause = Cause(code=error.code, message=where + error.message, retriable=retriable, next_step=error.next_step)
        return Failure(kind, cause, wish.total_seconds() if wish is not None else None, untouched)
    if isinstance(error, MemoryError) or str(error) == NO_THREAD:
        cause = Cause(code="overloaded", message="the gateway has no memory left", retriable=True, next_step=_MEMORY)
        return Failure(ErrorKind.TRANSIENT, cause)
    again = failures + 1 < POISONED_AFTER
    cause = Cause(
        code="internal", message=f"SciGate made a mistake ({type(error).__name__}); its log says more", retriable=again,
        next_step="Tell the administrator; 'scigate retry' tries again.",
    )  # fmt: skip
    return Failure(ErrorKind.TRANSIENT if again else ErrorKind.PERMANENT, cause)


def _crc(runtime: Runtime, task: Task, backend: Backend, path: str) -> str:
    if backend.extras.digest:
        try:
            return backend.extras.digest(path, "crc64nvme")
        except Unsupported:
            pass
    return crc64nvme_of(guarded(runtime, task, backend.read(path)))
