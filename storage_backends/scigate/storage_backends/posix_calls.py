"""System calls of Linux that Python 3.11 lacks, and what failed calls mean.

A call that this kernel or file system does not have falls back to older ones that give the same promise, as far as
they can: ``openat2`` to one ``openat`` per component, ``renameat2`` to ``link`` + ``unlink``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Final, Self

from .errors import (
    AccessDenied,
    AlreadyExists,
    InvalidName,
    Misconfigured,
    NoSpace,
    NotFound,
    NotRegular,
    StorageError,
    TooLarge,
    Unreachable,
)

SYS_OPENAT2: Final = 437  # the same on all architectures (openat2(2), Linux 5.6)
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RENAME_NOREPLACE: Final = 1
LACKING: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # old kernel, seccomp filter, unknown flag
FOLDER: Final = os.O_PATH | os.O_DIRECTORY
AT_FDCWD: Final = -100
STATX_MNT_ID_UNIQUE: Final = 0x4000  # statx(2), Linux 6.8
_STATX_SIZE: Final = 256  # bytes of struct statx; its mask is at 0, its stx_mnt_id at 144

MEANING: Final[dict[int, type[StorageError]]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ENOTEMPTY: AlreadyExists,
    errno.EACCES: AccessDenied,
    errno.EPERM: AccessDenied,
    errno.EROFS: Misconfigured,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: TooLarge,
    errno.ELOOP: NotRegular,
    errno.EISDIR: NotRegular,
    errno.ENXIO: NotRegular,
    errno.ENODEV: NotRegular,
    errno.EXDEV: InvalidName,
    errno.EINVAL: InvalidName,
    errno.EILSEQ: InvalidName,
    errno.ENAMETOOLONG: InvalidName,
}

WORDS: Final = {
    errno.ENOENT: "there is nothing here",
    errno.ENOTDIR: "there is nothing here, a part of the path is a file",
    errno.ELOOP: "a part of the path is a symbolic link, and links are not followed",
    errno.EISDIR: "a folder is here",
    errno.ENXIO: "this is a socket or a device, not a regular file",
    errno.ENODEV: "this is a device, not a regular file",
    errno.EROFS: "the file system is mounted read-only",
    errno.EXDEV: "the path leads out of the storage, or to another file system",
}
NEXT: Final = {
    errno.EROFS: "Have it mounted for writing again: what waits goes on by itself. Or set 'read_only = true'.",
}


class OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Descriptor:
    """An open file or folder, closed when nobody holds it any more.

    A thread that works with it holds it, so the number cannot be closed and given to another file meanwhile.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.fd >= 0:  # not closed yet, which few are
            with suppress(OSError):  # of a file system that is gone; the number is free again all the same (close(2))
                self.close()

    def close(self) -> None:
        """Close it now; only for who holds it alone."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Doing:
    """Turns an ``OSError`` inside the block into the ``StorageError`` it means, with the path."""

    __slots__ = ("action", "path")

    def __init__(self, action: str, path: str) -> None:
        self.action, self.path = action, path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise meaning_of(error, self.action, self.path) from error


def meaning_of(error: OSError, action: str, path: str) -> StorageError:
    """What a failed system call means; unknown numbers (EIO, ESTALE, EMFILE …) are worth another try."""
    number = error.errno or errno.EIO
    words = WORDS.get(number) or os.strerror(number)
    kind = MEANING.get(number, Unreachable)
    return kind(f"cannot {action} {path!r}: {words}", path=path, next_step=NEXT.get(number))


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    library.syscall.restype = ctypes.c_long
    library.syncfs.argtypes = (ctypes.c_int,)
    if hasattr(library, "renameat2"):
        library.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return library


def mount_number(path: str) -> int | None:
    """The number of the mount that ``path`` is on, which no other mount ever has until the machine is started again
    (statx(2), STATX_MNT_ID_UNIQUE); None on a Linux before 6.8. Raises ``OSError``."""
    found = ctypes.create_string_buffer(_STATX_SIZE)
    if not hasattr(libc(), "statx"):
        return None
    if libc().statx(AT_FDCWD, os.fsencode(path), 0, STATX_MNT_ID_UNIQUE, found):
        raise failed()
    mask, number = (int.from_bytes(found.raw[at : at + size], sys.byteorder) for at, size in ((0, 4), (144, 8)))
    return number if mask & STATX_MNT_ID_UNIQUE else None


def failed() -> OSError:
    """The error of the last call through ``libc()`` in this thread."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open ``path`` below the folder ``root`` in one call that can neither leave it nor follow a link."""
    how = OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS)
    while True:
        fd: int = libc().syscall(SYS_OPENAT2, root, path or b".", ctypes.addressof(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EINTR:
            raise failed()


def open_stepwise(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """The same where the kernel has no openat2: one component after the other, each not following links."""
    *folders, name = path.split(b"/")
    with Descriptor(os.open(".", FOLDER, dir_fd=root)) as here:
        for folder in folders:
            below = _open_component(folder, FOLDER, 0, here.fd)
            here.close()
            here.fd = below
        return _open_component(name or b".", flags, mode, here.fd)


def _open_component(name: bytes, flags: int, mode: int, folder: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


def has_openat2(root: int) -> bool:
    """Whether kernel, seccomp filter and file system let us use openat2."""
    try:
        os.close(open_beneath(root, b"", FOLDER))
    except OSError as error:
        if error.errno in LACKING:
            return False
        raise
    return True


def rename_no_replace(source_folder: int, source: bytes, folder: int, name: bytes) -> None:
    """Rename unless something is at ``name``: then ``FileExistsError``, and nothing has changed."""
    library = libc()
    if not hasattr(library, "renameat2"):
        return _link_and_unlink(source_folder, source, folder, name)
    if library.renameat2(source_folder, source, folder, name, RENAME_NOREPLACE) == 0:
        return None
    error = failed()
    if error.errno not in (errno.EINVAL, errno.ENOSYS):
        raise error
    return _link_and_unlink(source_folder, source, folder, name)  # NFS and some others know no flags


def _link_and_unlink(source_folder: int, source: bytes, folder: int, name: bytes) -> None:
    os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
    os.unlink(source, dir_fd=source_folder)


def sync_file_system(fd: int) -> None:
    """syncfs(2): everything written so far on the file system of ``fd`` is durable, or an error (Linux 5.8)."""
    if libc().syncfs(fd) != 0:
        raise failed()


def sync_folder(folder: int) -> None:
    """Make the names in a folder durable; ``folder`` may be an O_PATH descriptor, which itself cannot be synced."""
    with Descriptor(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)) as readable:
        os.fsync(readable.fd)
