"""Listing folders in bounded memory and in the byte order of full paths.

Only the names of the folders on the way are held (about 80 bytes each), sorted with a slash behind those of folders;
all else is looked up when an entry is given out. To go on behind ``after``, what lies before it is never opened.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from .backend import Entry, Kind
from .errors import InvalidName
from .posix_calls import FOLDER, Descriptor, Doing, meaning_of
from .posix_paths import RESERVED, Root, decode, encode_folder, entry_of

UNLISTABLE: Final = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(slots=True)
class Level:
    """A folder on the way: the names not yet given out and, when resuming, the one to go into and how far."""

    folder: bytes  # from the root, with a trailing slash unless it is the root
    names: Iterator[bytes]
    inside: bytes
    resume: bytes


def scan(root: Root, prefix: str, after: str | None, *, recursive: bool) -> Iterator[Entry]:
    """See ``Backend.scan``. A folder that may not be listed is an OTHER entry with the reason, never left out."""
    folder = encode_folder(prefix)
    with Doing("list", prefix):
        stack = [_level(root, folder + b"/" if folder else b"", _behind(prefix, after), recursive=recursive)]
    while stack:
        level = stack[-1]
        below = yield from _entries(root, level, recursive=recursive)
        if not below:
            stack.pop()
            continue
        try:
            resume = level.resume if below == level.inside else b""
            stack.append(_level(root, level.folder + below, resume, recursive=recursive))
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed since its name was read
        except OSError as error:
            yield _unlisted(decode(level.folder + below), error)


def _entries(root: Root, level: Level, *, recursive: bool) -> Generator[Entry, None, bytes]:
    """Give out what is in a folder, up to the next folder to go into, which is returned; at the end nothing."""
    path = decode(level.folder)
    try:
        opened = root.open(level.folder.removesuffix(b"/"), FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return b""  # removed meanwhile, with all that was in it
    except OSError as error:
        raise meaning_of(error, "list", path) from error
    with opened:
        for name in level.names:
            if recursive and name.endswith(b"/"):
                return name
            entry = _entry(opened.fd, path, name.removesuffix(b"/"))
            if entry and recursive and entry.kind is Kind.FOLDER:
                return name + b"/"  # it was a file when its name was read
            if entry:
                yield entry
    return b""


def _entry(folder: int, path: str, name: bytes) -> Entry | None:
    full = path + decode(name)
    with Doing("look at", full):
        try:
            return entry_of(full, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return None  # removed since its name was read


def _level(root: Root, folder: bytes, resume: bytes, *, recursive: bool) -> Level:
    """Read the names of a folder and pass over those up to ``resume``. Raises ``OSError``."""
    with root.open(folder.removesuffix(b"/"), os.O_RDONLY | os.O_DIRECTORY) as opened:
        names = _sorted_names(opened)
    first, slash, rest = resume.partition(b"/")
    first += slash
    start = bisect_left(names, first)
    if start < len(names) and names[start] == first and not (rest and recursive):
        start += 1
    del names[:start]
    return Level(folder, iter(names), first, rest)


def _sorted_names(folder: Descriptor) -> list[bytes]:
    with os.scandir(folder.fd) as found:
        names = [
            os.fsencode(entry.name) + b"/" if entry.is_dir(follow_symlinks=False) else os.fsencode(entry.name)
            for entry in found
            if not entry.name.startswith(RESERVED)
        ]
    names.sort()
    return names


def _behind(prefix: str, after: str | None) -> bytes:
    if after is None:
        return b""
    if not after.startswith(prefix):
        raise InvalidName(f"a listing of {prefix!r} cannot go on behind {after!r}, which is elsewhere", path=after)
    return after[len(prefix) :].encode("utf-8", "surrogateescape")


def _unlisted(path: str, error: OSError) -> Entry:
    if error.errno not in UNLISTABLE:
        raise meaning_of(error, "list", path) from error
    return Entry(path, Kind.OTHER, note=f"this folder cannot be listed: {os.strerror(error.errno)}")
