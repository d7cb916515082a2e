"""Sending local files: hashed first, then streamed, so that the gateway can check before it acknowledges."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ..resources import Overwrite
from .errors import LocalFileError

CHUNK: Final = 1 << 20
Count = Callable[[int], None]
"""Called with the number of bytes since the last call."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was hashed."""

    path: Path
    size: int
    sha256: bytes
    seen: tuple[int, int, int]  # inode, size, mtime: all equal means that nobody wrote in between

    @property
    def repr_digest(self) -> str:
        """The ``Repr-Digest`` field value (RFC 9530 §3)."""
        return f"sha-256=:{base64.b64encode(self.sha256).decode('ascii')}:"

    @property
    def modified(self) -> datetime:
        """When it was changed last."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.seen[2] // 1000)

    def chunks(self, sent: Count) -> Iterator[bytes]:
        """The bytes that were hashed. ``LocalFileError`` if the file has changed since."""
        count = 0
        with _opened(self.path) as file:
            while chunk := file.read(CHUNK):
                count += len(chunk)
                if count > self.size:
                    break
                yield chunk
                sent(len(chunk))
            if count != self.size or _seen(file.fileno()) != self.seen:
                raise changed(self.path)


@dataclass(frozen=True, slots=True)
class How:
    """How files are sent; ``label`` None: by the name of each."""

    overwrite: Overwrite
    label: str | None
    hashed: Count
    sent: Count


class Body:
    """A file as the body of a request; knows whether any try has sent all of it."""

    def __init__(self, file: LocalFile, sent: Count) -> None:
        self._file, self._sent = file, sent
        self.was_sent = False

    def chunks(self) -> Iterator[bytes]:
        yield from self._file.chunks(self._sent)
        self.was_sent = True


def inspect(path: Path, hashed: Count = lambda count: None) -> LocalFile:
    """Hash a file, in bounded memory. ``LocalFileError`` if it is no regular file or cannot be read."""
    if not path.exists():
        raise LocalFileError(f"There is no file {str(path)!r} on this machine.", next_step="Check the path.")
    if not path.is_file():
        raise LocalFileError(f"{str(path)!r} is not a regular file.", next_step="Name a file or a folder.")
    digest = hashlib.sha256()
    with _opened(path) as file:
        before = _seen(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            hashed(len(chunk))
        if _seen(file.fileno()) != before:
            raise changed(path)
    return LocalFile(path, before[1], digest.digest(), before)


def changed(path: Path) -> LocalFileError:
    return LocalFileError(
        f"{str(path)!r} was changed while it was being sent.", next_step="Send it again when nobody writes to it."
    )


def walk(folder: Path, refused: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """The regular files below a folder with their paths in it (``/`` between names), sorted; what else there is
    goes into ``refused`` with the reason. Links are not followed."""
    for parent, folders, names in os.walk(folder, onerror=lambda error: _refuse(error, refused)):
        folders.sort()
        for name in sorted(names + [name for name in folders if os.path.islink(os.path.join(parent, name))]):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path, path.relative_to(folder).as_posix()
            else:
                refused[str(path)] = "a link, which is not followed" if stat.S_ISLNK(mode) else "not a regular file"


def _refuse(error: OSError, refused: dict[str, str]) -> None:
    refused[str(error.filename)] = error.strerror or "cannot be read"


def _opened(path: Path) -> io.FileIO:
    try:
        return io.FileIO(path, "rb")
    except OSError as error:
        raise LocalFileError(f"{str(path)!r} cannot be read: {error.strerror}.") from None


def _seen(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_size, status.st_mtime_ns
