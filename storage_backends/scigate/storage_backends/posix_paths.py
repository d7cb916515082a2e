"""Paths below the root of a POSIX storage: which are allowed, how they are opened, what is found there.

No symbolic link below the root is ever followed, not even one that stays inside: permissions of the gateway are
given by path, and a link would make one path another. The root itself may be reached through links; it is the
administrator's own word.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from .backend import Entry, Kind
from .errors import InvalidName, Misconfigured, NotFound, NotRegular, SourceChanged, Unreachable
from .location import check_path
from .posix_calls import FOLDER, Descriptor, Doing, has_openat2, open_beneath, open_stepwise, sync_folder

Opener: TypeAlias = Callable[[int, bytes, int, int], int]

RESERVED: Final = ".scigate-"  # names of drafts
NAME_MAX: Final = 255  # bytes; of every file system that matters (limits.h)
READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW  # a FIFO without a writer must not hang us
NO_FOLDER: Final = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)
LOOK: Final = os.O_PATH | os.O_NOFOLLOW

REFUSED: Final = (
    (stat.S_ISLNK, "a symbolic link; links are not followed"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class Root:
    """The folder that a storage lives in, opened at first use and again when it was removed or mounted over.

    What is not there any more is let go: a file system that failed can only be mounted anew when nobody holds it.
    """

    def __init__(self, path: str, opener: Opener | None = None) -> None:
        self.path = path
        self._opener = opener
        self._held: tuple[Descriptor, tuple[int, int]] | None = None
        self._device: int | None = None  # that it was on last
        self._mounted = False
        self.failed_syncs = 0
        self._lock = threading.Lock()

    def descriptor(self) -> Descriptor:
        """The root as it is now. ``Misconfigured`` if it never was there, ``Unreachable`` if it is gone."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            self._held = None
            raise self._missing(error) from error
        held = self._held
        if held is not None and held[1] == (found.st_dev, found.st_ino):
            return held[0]
        del held
        self._held = None
        return self._reopen()

    def open(self, path: bytes, flags: int, mode: int = 0) -> Descriptor:
        """Open what is at ``path``, without following a link or leaving the root. Raises ``OSError``."""
        root = self.descriptor()
        opener = self._opener or open_beneath
        return Descriptor(opener(root.fd, path, flags, mode))

    def open_folder(self, path: bytes) -> Descriptor:
        """Open the folder ``path``. Raises ``OSError``."""
        return self.open(path, FOLDER)

    def make_folder(self, path: bytes, *, durable: bool) -> Descriptor:
        """Open the folder ``path``, created with its parents where missing. Raises ``OSError``.

        Not ``durable``: ``extras.sync`` makes new folders durable, but only those on the root's file system.
        """
        try:
            return self.open(path, FOLDER)
        except FileNotFoundError:
            return self._create(path, durable=durable)
        except NotADirectoryError:
            raise NotRegular(
                f"{decode(path)!r} cannot be a folder: a part of it is a file", next_step="Choose another name."
            ) from None

    def is_synced(self, device: int) -> bool:
        """Whether ``extras.sync`` reaches this device: file systems mounted below the root are not."""
        return self._device == device

    def _create(self, path: bytes, *, durable: bool) -> Descriptor:
        opener = self._opener or open_beneath
        here = self.open(b"", FOLDER)
        for name in path.split(b"/"):
            self._make(here.fd, name, durable=durable)
            here = Descriptor(opener(here.fd, name, FOLDER, 0))
        return here

    def _make(self, above: int, name: bytes, *, durable: bool) -> None:
        try:
            os.mkdir(name, dir_fd=above)
        except FileExistsError:
            return  # what it is shows when it is opened
        if durable or not self.is_synced(os.fstat(above).st_dev):
            sync_folder(above)

    def _reopen(self) -> Descriptor:
        with self._lock:
            try:
                held = Descriptor(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY))  # syncfs takes no O_PATH
                found = os.fstat(held.fd)
                self._require_mounted(held.fd, found.st_dev)
                self._opener = self._opener or (open_beneath if has_openat2(held.fd) else open_stepwise)
            except OSError as error:
                raise self._missing(error) from error
            self._held, self._device = (held, (found.st_dev, found.st_ino)), found.st_dev
            return held

    def _require_mounted(self, root: int, device: int) -> None:
        """What is below a mount point is another folder: there files would not be found, or be written where the next
        mount hides them. Known for as long as this process has seen the file system."""
        mounted = os.stat("..", dir_fd=root).st_dev != device
        if self._mounted and not mounted:
            message = f"the file system of the root {self.path!r} of this storage is not mounted any more"
            raise Unreachable(message, next_step=f"Mount {self.path!r} again; transfers then go on by themselves.")
        self._mounted = mounted

    def _missing(self, error: OSError) -> Misconfigured | Unreachable:
        message = f"the root {self.path!r} of this storage cannot be opened: {os.strerror(error.errno or errno.EIO)}"
        step = f"Make or mount the folder {self.path!r}, or correct root in scigate.toml."
        if isinstance(error, PermissionError):
            step = f"Let the user who runs the gateway into {self.path!r}, or correct root in scigate.toml."
        kind = Misconfigured if error.errno in NO_FOLDER and self._device is None else Unreachable
        return kind(message, next_step=step)


def encode(path: str) -> bytes:
    """The bytes of a path, without the trailing slash of a folder. ``InvalidName`` with the rule that is broken."""
    raw = _bytes(path)
    check_path(path)
    if not raw:
        return raw
    raw = raw.removesuffix(b"/")
    for name in raw.split(b"/"):
        _check_name(name, path)
    return raw


def encode_file(path: str) -> tuple[bytes, bytes]:
    """Folder and name of a path that can be a file's."""
    if path == "" or path.endswith("/"):
        raise InvalidName(f"{path!r} names a folder, not a file", path=path)
    folder, _, name = encode(path).rpartition(b"/")
    return folder, name


def encode_folder(path: str) -> bytes:
    """The bytes of a folder's path, which is empty or ends with a slash."""
    if path and not path.endswith("/"):
        raise InvalidName(f"the folder {path!r} is written with a trailing '/'", path=path)
    return encode(path)


def decode(raw: bytes) -> str:
    """Names as Python strings, bytes that are not UTF-8 as surrogate escapes (PEP 383)."""
    return raw.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidName(f"{path!r} holds a character that no file name can hold", path=path) from None
    if not path.isascii() and decode(raw) != path:
        raise InvalidName(f"{path!r} is another spelling of {decode(raw)!r}", path=path)
    return raw


def _check_name(name: bytes, path: str) -> None:
    if name in (b"", b"."):
        raise InvalidName(f"{path!r} holds an empty name or '.', which this storage cannot keep", path=path)
    if len(name) > NAME_MAX:
        raise InvalidName(f"{path!r} holds a name of {len(name)} bytes; at most {NAME_MAX} are possible", path=path)
    if name.startswith(RESERVED.encode()):
        raise InvalidName(f"{path!r} holds a name that begins with {RESERVED!r}, which is kept for drafts", path=path)


def version_of(found: os.stat_result) -> str:
    """Changes whenever the content does. The change time is in it because nobody can set it back (stat(2)); that
    a chmod or a new hard link changes it too costs a second look, never a wrong byte."""
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def identity_of(found: os.stat_result) -> str:
    """Which file this is, whatever its name."""
    return f"{found.st_dev:x}:{found.st_ino:x}"


def entry_of(path: str, found: os.stat_result) -> Entry:
    """What a stat result says, in the words of the contract."""
    if stat.S_ISREG(found.st_mode):
        return Entry(
            path, Kind.FILE, found.st_size, _time(found.st_mtime), version_of(found), identity=identity_of(found)
        )
    if stat.S_ISDIR(found.st_mode):
        named = path if path == "" or path.endswith("/") else f"{path}/"
        return Entry(named, Kind.FOLDER, modified=_time(found.st_mtime))
    return Entry(path, Kind.OTHER, modified=_time(found.st_mtime), note=refusal(found.st_mode))


def refusal(mode: int) -> str:
    """Why something that is not a regular file is not read, in words."""
    return next((f"this is {words}" for test, words in REFUSED if test(mode)), "this is not a regular file")


def look(root: Root, path: str) -> Entry:
    """What is at ``path``; a link is itself, never what it points to."""
    raw = encode(path)
    with Doing("look at", path), root.open(raw, LOOK) as file:
        found = os.fstat(file.fd)
    if path.endswith("/") and not stat.S_ISDIR(found.st_mode):
        raise NotFound(f"{path!r} is not a folder", path=path)
    return entry_of(path, found)


def open_regular(root: Root, path: str, flags: int = READ) -> Descriptor:
    """Open the regular file at ``path``. ``NotRegular`` with the reason for everything else."""
    if path == "" or path.endswith("/"):
        raise NotRegular(f"{path!r} is a folder, not a file", path=path)
    raw = encode(path)
    with Doing("read", path):
        try:
            file = root.open(raw, flags)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
                require_regular(look(root, path))
            raise
        mode = os.fstat(file.fd).st_mode
    if not stat.S_ISREG(mode):
        require_regular(entry_of(path, os.fstat(file.fd)))
    return file


def require_regular(entry: Entry) -> None:
    """Raise ``NotRegular``, with the reason, unless this is a file."""
    if entry.kind is Kind.FOLDER:
        raise NotRegular(f"{entry.path!r} is a folder, not a file", path=entry.path)
    if entry.kind is Kind.OTHER:
        raise NotRegular(f"{entry.path!r} is not a regular file: {entry.note}", path=entry.path)


def require_version(found: os.stat_result, version: str | None, path: str) -> None:
    """Raise ``SourceChanged`` if a version is given and this is another."""
    if version is not None and version_of(found) != version:
        raise SourceChanged(f"{path!r} was written to since this version was seen", path=path)


def _time(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a file system may hold any 64-bit number
        return None
