"""Local files on their way to a gateway: looked at once, and read only as long as nobody changes them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import MiB

from ..resources import Overwrite
from .errors import FileChanged, LocalFileError

CHUNK: Final = MiB
Count = Callable[[int], None]
"""Called with the number of bytes since the last call."""


Broken = Callable[[Exception], None]
"""Called with what has interrupted an upload that is being tried again."""


def ignored(count: int) -> None:
    """A ``Count`` that nobody asked for."""


def unheard(error: Exception) -> None:
    """A ``Broken`` that nobody asked for."""


def unnoticed(transfer: str) -> None:
    """What is called with each transfer that begins, when nobody asked."""


@dataclass(frozen=True, slots=True)
class How:
    """How files are sent; ``label`` None: by the name of each. ``stored`` None: nobody asks about the second leg."""

    overwrite: Overwrite
    label: str | None
    sent: Count = ignored
    stored: Count | None = None
    resumed: Count = ignored
    broken: Broken = unheard
    begun: Callable[[str], None] = unnoticed
    not_before: datetime | None = None
    deadline: datetime | None = None

    @property
    def times(self) -> dict[str, str]:
        """When it is to be delivered, as the gateway is told; empty if nothing is said of it."""
        said = {"not_before": self.not_before, "deadline": self.deadline}
        return {name: time.isoformat() for name, time in said.items() if time is not None}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file as it was when it was looked at."""

    path: Path
    seen: tuple[int, int, int]  # inode, size, mtime: all equal means that nobody wrote in between
    touched: int  # ctime, which nobody can set back; but it also changes when nobody writes (chmod, a new name)

    @property
    def size(self) -> int:
        return self.seen[1]

    @property
    def modified(self) -> datetime:
        """When it was changed last."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.seen[2] // 1000)

    def chunks(self, start: int, length: int, sent: Count = ignored) -> Iterator[bytes]:
        """``length`` bytes from ``start`` on. ``LocalFileError`` if the file has changed since it was looked at: said
        before the chunk that may be wrong is given out, so that nobody ever holds all bytes of a changed file."""
        with _reading(self.path) as file:
            self._check(file)
            file.seek(start)
            while length > 0:
                chunk = file.read(min(CHUNK, length))
                self._check(file, ended=not chunk)
                length -= len(chunk)
                yield chunk
                sent(len(chunk))

    def sha256(self) -> bytes:
        """Of the whole file. Errors as of ``chunks``."""
        digest = hashlib.sha256()
        for chunk in self.chunks(0, self.size):
            digest.update(chunk)
        return digest.digest()

    def crc64nvme(self, start: int, length: int) -> bytes:
        """Of a range, big-endian. Errors as of ``chunks``."""
        # Here, because the CRCs come with a library that takes its time.
        from scigate.storage_backends.digests import ALGORITHMS

        running = ALGORITHMS["crc64nvme"]()
        for chunk in self.chunks(start, length):
            running.update(chunk)
        return bytes.fromhex(running.hexdigest())

    def _check(self, file: io.FileIO, *, ended: bool = False) -> None:
        if ended or _seen(file.fileno()) != self.seen:
            raise changed(self.path)


def look(path: Path) -> LocalFile:
    """Look at a file. ``LocalFileError`` if it is no regular file or cannot be read."""
    if not path.exists():
        raise LocalFileError(f"There is no file {str(path)!r} on this machine.", next_step="Check the path.")
    if not path.is_file():
        raise LocalFileError(f"{str(path)!r} is not a regular file.", next_step="Name a file or a folder.")
    with _reading(path) as file:
        found = LocalFile(path, _seen(file.fileno()), os.fstat(file.fileno()).st_ctime_ns)
        if found.size == 0 and file.read(1):  # as in /proc, and on some file systems of programs
            text = f"{str(path)!r} has bytes, though its file system says that it has none."
            raise LocalFileError(text, next_step="Copy it to another folder, and send the copy.")
        return found


def changed(path: Path) -> FileChanged:
    return FileChanged(
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


@contextmanager
def _reading(path: Path) -> Iterator[io.FileIO]:
    """The file, opened; whatever its disk or its server says is a ``LocalFileError``."""
    try:
        with io.FileIO(path, "rb") as file:
            yield file
    except OSError as error:
        raise LocalFileError(f"{str(path)!r} cannot be read: {error.strerror}.") from None


def _seen(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_size, status.st_mtime_ns
