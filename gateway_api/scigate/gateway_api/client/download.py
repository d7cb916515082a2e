"""Fetching a file: into a part file beside its place, resumed after any break, proven, then put in place at once."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from .block_journal import BlockJournal
from .digests import Check, read_repr_digest
from .errors import DataDamaged, GatewayUnreachable, LocalFileError, RequestRefused
from .session import Session

CHUNK: Final = 1 << 20
Received = Callable[[int], None]
"""Called with the number of bytes received since the last call; negative when it begins anew."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that has arrived. ``digest`` is the algorithm that proved it; None: the size only."""

    path: Path
    size: int
    digest: str | None
    resumed_from: int  # bytes that an earlier call had fetched and that were still as it wrote them


class _Begin(Exception):
    """What is in the part file is of no use: begin anew."""


class PartFile:
    """The bytes so far, and which version of what they are; locked against a second download to the same place."""

    def __init__(self, destination: Path, resource: str, file: io.FileIO) -> None:
        self.file = file
        self.destination = destination
        self.path = part_path(destination)
        self.resource = hashlib.sha256(resource.encode("utf-8", "surrogateescape")).hexdigest()
        self._journal = BlockJournal(self.path.with_name(self.path.name + ".json"))
        self.etag = self._journal.etag(self.resource)
        self.file.truncate(self._journal.proven(file) if self.etag else 0)
        self.resumed_from = self.size

    @property
    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def record(self, etag: str | None) -> None:
        """Remember the version before its first byte is written. A weak or missing one cannot be resumed."""
        self.etag = etag if etag and not etag.startswith("W/") else None
        self.resumed_from = 0
        self.file.truncate(0)
        self._journal.begin(self.resource, self.etag)

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:  # one write may take less than all, e.g. just before the disk is full
            written = self.file.write(rest)
            if self.etag:
                self._journal.wrote(rest[:written])
            rest = rest[written:]

    def forget(self) -> None:
        self.etag = None
        self.file.truncate(0)

    def leave(self) -> None:
        """Note what the next call can go on with; leave nothing behind that nobody can."""
        with suppress(OSError):  # what is not noted is fetched again
            if self.etag:
                self._journal.end_block()
        with suppress(FileNotFoundError):
            if self.size == 0 and os.path.samestat(os.fstat(self.file.fileno()), self.path.lstat()):
                self.path.unlink()
                self._journal.remove()

    def publish(self, overwrite: bool) -> None:
        """Give it its name, durably; without ``overwrite`` never in place of another file."""
        os.fsync(self.file.fileno())
        if overwrite:
            self.path.replace(self.destination)
        else:
            _rename_if_absent(self.path, self.destination)
        self.etag = None
        self._journal.remove()
        sync_folder(self.destination.parent)


def part_path(destination: Path) -> Path:
    """Where the bytes are while they arrive: beside the destination, hidden, never longer than a name may be."""
    name = destination.name
    if len(os.fsencode(name)) > 200:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return destination.with_name(f".{name}.scigate-part")


def fetch(session: Session, resource: str, destination: Path, *, overwrite: bool, received: Received) -> Download:
    """Download ``resource`` to ``destination``; goes on where an earlier, broken download of it ended, with as much of
    what that has left as is proven to be what it wrote.

    Raises ``LocalFileError`` if the destination exists (unless ``overwrite``) or cannot be written, ``DataDamaged``
    if what arrived is not what was promised, and whatever the gateway refuses with.
    """
    if not overwrite and os.path.lexists(destination):
        raise exists(destination)
    with locked(destination, resource) as part:
        if part.size:
            received(part.size)
        try:
            digest = _until_whole(session, resource, part, received)
            size = part.size
            part.publish(overwrite)
        except OSError as error:
            raise _not_written(destination, error) from None
        finally:
            part.leave()
    return Download(destination, size, digest, part.resumed_from)


def _until_whole(session: Session, resource: str, part: PartFile, received: Received) -> str | None:
    before, grown = part.size, time.monotonic()
    while True:
        try:
            return _once(session, resource, part, received)
        except _Begin:
            received(-part.size)
            part.forget()
        except (httpx.TransportError, RequestRefused) as error:
            if part.size > before:
                before, grown = part.size, time.monotonic()
            given_up = time.monotonic() - grown > session.patience.total_seconds()
            if given_up or (isinstance(error, RequestRefused) and not error.retriable):
                raise _broken(session, error, part) from None
        time.sleep(random.uniform(0, 0.5))  # noqa: S311 jitter is not a secret


def _once(session: Session, resource: str, part: PartFile, received: Received) -> str | None:
    start = part.size
    headers = {"Accept-Encoding": "identity"}
    if start and part.etag:
        headers |= {"Range": f"bytes={start}-", "If-Range": part.etag}
    try:
        with session.stream(resource, headers) as response:
            size = _expected_size(response, part, start, received)
            check = _check_of_prefix(response, part)
            _append(response, part, check, received, size)
    except RequestRefused as error:
        if error.status == 416:
            raise _Begin from None
        raise
    try:
        check.finish(str(part.destination))
    except DataDamaged:
        part.forget()
        raise
    return check.algorithm


def _expected_size(response: httpx.Response, part: PartFile, start: int, received: Received) -> int | None:
    """How large the whole file is; makes the part file fit to what is about to come."""
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if not start or found is None or int(found[1]) != start:
            raise _Begin
        return int(found[3])
    if start:
        received(-start)
    part.record(response.headers.get("ETag"))
    length = response.headers.get("Content-Length")
    return int(length) if length is not None else None


def _check_of_prefix(response: httpx.Response, part: PartFile) -> Check:
    check = Check(read_repr_digest(response.headers.get("Repr-Digest", "")))
    part.file.seek(0)
    while check.algorithm and (chunk := part.file.read(CHUNK)):
        check.update(chunk)
    part.file.seek(0, os.SEEK_END)
    return check


def _append(response: httpx.Response, part: PartFile, check: Check, received: Received, size: int | None) -> None:
    for chunk in response.iter_raw():  # as they come: gathered ones would be lost when the connection breaks
        part.append(chunk)
        check.update(chunk)
        received(len(chunk))
    if size is not None and part.size != size:
        part.forget()
        raise DataDamaged(f"{part.destination} arrived with another size than the gateway promised ({size} bytes).")


@contextmanager
def locked(destination: Path, resource: str) -> Iterator[PartFile]:
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        file = _open_locked(destination)
    except OSError as error:
        raise _not_written(destination, error) from None
    with file:
        try:
            part = PartFile(destination, resource, file)
        except OSError as error:
            raise _not_written(destination, error) from None
        yield part


def _open_locked(destination: Path) -> io.FileIO:
    """The part file, ours alone. Raises ``OSError``.

    Who had it before may just have given it its name, or died between that and removing the other name: then it is
    that file by now, and another one is begun.
    """
    path = part_path(destination)
    while True:
        file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_only_here(file, path):
                return file
        except BaseException as error:
            file.close()
            if isinstance(error, BlockingIOError):
                raise _is_running(destination) from None
            raise
        file.close()


def _is_only_here(file: io.FileIO, path: Path) -> bool:
    """Whether this is what the path names, and it has no other name; with another one it loses this name."""
    found = os.fstat(file.fileno())
    with suppress(FileNotFoundError):
        if os.path.samestat(found, path.lstat()) and found.st_nlink > 1:
            path.unlink()
        elif os.path.samestat(found, path.lstat()):
            return True
    return False


def _is_running(destination: Path) -> LocalFileError:
    text = f"Another download to {str(destination)!r} is running."
    return LocalFileError(text, next_step="Wait for it, or choose another name.")


def _rename_if_absent(part: Path, destination: Path) -> None:
    try:
        os.link(part, destination)  # the only rename without replacement that POSIX has
    except FileExistsError:
        raise exists(destination) from None
    except OSError:  # no hard links here (FAT, some network filesystems): the check is a moment too early then
        if os.path.lexists(destination):
            raise exists(destination) from None
        part.replace(destination)
        return
    part.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exists(destination: Path) -> LocalFileError:
    return LocalFileError(
        f"{str(destination)!r} exists already.",
        next_step="Choose another name, or let it be replaced: overwrite=True, on the command line --overwrite.",
    )


def _not_written(destination: Path, error: OSError) -> LocalFileError:
    return LocalFileError(
        f"{str(destination)!r} cannot be written: {error.strerror or error}.",
        next_step="Choose another folder, or free space there; asked again it goes on where it stopped.",
    )


def _broken(session: Session, error: Exception, part: PartFile) -> Exception:
    if isinstance(error, RequestRefused):
        return error
    return GatewayUnreachable(
        f"The download of {str(part.destination)!r} broke off after {part.size} bytes: {error}.",
        next_step="Get it again when the gateway answers: it goes on where it stopped.",
    )
