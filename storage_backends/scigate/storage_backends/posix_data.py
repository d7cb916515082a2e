"""Reading and copying the bytes of open files."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Final

from .backend import Buffer, MiB
from .errors import Truncated
from .posix_calls import Doing

BUFFER: Final = MiB  # bytes; 256 KiB and 4 MiB were slower, with a digest taken and without
STEP: Final = 64 * MiB  # bytes between two reports of progress
FICLONE: Final = 0x40049409  # ioctl_ficlone(2)
ZEROS: Final = bytes(MiB)
NOT_THIS_WAY: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM)


def buffers(fd: int, path: str, offset: int, length: int, settled: Callable[[], None]) -> Iterator[Buffer]:
    """Exactly ``length`` bytes, in one buffer that is filled again and again.

    ``settled`` is called when all is read and before the last buffer is given out, to look whether it still holds.
    """
    if length > BUFFER:
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_SEQUENTIAL)
    room = memoryview(bytearray(min(length, BUFFER)))
    while length:
        with Doing("read", path):
            count = os.preadv(fd, (room[:length],), offset)
        if not count:
            raise Truncated(f"{path!r} ended {length} bytes early", path=path)
        offset += count
        length -= count
        if not length:
            settled()
        yield room[:count]


def as_bytes(data: Buffer) -> memoryview:
    """A view of single bytes, whatever the buffer's items are."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes else view[:0]


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write the whole buffer at ``offset``. Raises ``OSError``."""
    while data:
        count = os.pwrite(fd, data, offset)
        data = data[count:]
        offset += count


def is_zero(data: memoryview) -> bool:
    """Whether a buffer holds nothing but zeros, so that a hole in the file says the same."""
    if data[0] or data[-1] or len(data) > len(ZEROS):
        return False
    return bytes(data) == (ZEROS if len(data) == len(ZEROS) else ZEROS[: len(data)])


def forget_cache(fd: int, offset: int = 0, length: int = 0) -> None:
    """Let the next read come from the medium: drop the clean pages of a range (length 0: to the end)."""
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def copy_data(source: int, target: int, size: int, progress: Callable[[int], None]) -> None:
    """Copy ``size`` bytes into an empty file: shared extents (reflink), else inside the kernel, else through us.

    Holes stay holes. ``progress`` gets the bytes since the last call. Raises ``OSError``; ``Truncated`` if the
    source ends early.
    """
    if size and _cloned(source, target):
        return progress(size)
    os.ftruncate(target, size)
    done = 0
    for start, end in _extents(source, size):
        if start > done:
            progress(start - done)
        done = start
        while done < end:
            count = _copy_range(source, target, done, min(end - done, STEP))
            done += count
            progress(count)
    if size > done:
        progress(size - done)
    return None


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno in NOT_THIS_WAY:
            return False
        raise
    return True


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the data of a file are (lseek(2), SEEK_DATA)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield min(start, size), end


def _copy_range(source: int, target: int, offset: int, length: int) -> int:
    try:
        count = os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in NOT_THIS_WAY:
            raise
        count = _through_us(source, target, offset, length)
    if not count:
        raise Truncated(f"the source ended at byte {offset}")
    return count


def _through_us(source: int, target: int, offset: int, length: int) -> int:
    data = os.pread(source, min(length, 8 * MiB), offset)
    write_all(target, memoryview(data), offset)
    return len(data)
