"""Files being written: hidden beside their destination, locked by who writes, renamed when whole.

A draft is ``.scigate-<key>`` in the folder of its destination. Its writer holds a lock on it (flock(2), which the
kernel drops with the process). Taking over renames the draft, so the older attempt can no longer publish; if that
attempt still lives, its data move to a new inode as well, so that it can no longer write into ours either.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .backend import Buffer, Digests, Entry, KiB, MiB, PartReceipt
from .crash_points import reached
from .errors import Fenced, InvalidName, NoSpace, NotFound, StorageError, Truncated, Unreachable
from .posix_calls import Descriptor, Doing, meaning_of, rename_no_replace, sync_folder
from .posix_data import as_bytes, buffers, copy_data, forget_cache, is_zero, write_all
from .posix_paths import NAME_MAX, RESERVED, Root, encode_file, entry_of, identity_of

KEY: Final = re.compile(r"[A-Za-z0-9.-]+")
CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
REOPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
SMALL: Final = MiB  # below it the first write tells whether there is space, and holes are not worth a look
HOLE: Final = 4 * KiB  # bytes; a shorter buffer of zeros is written


@dataclass(frozen=True, slots=True)
class Place:
    """Where a draft is and what it will become."""

    root: Root
    path: str
    folder: bytes
    name: bytes
    temporary: bytes

    def open_folder(self) -> Descriptor:
        """The folder of draft and destination. ``NotFound`` if somebody removed it."""
        try:
            return self.root.open_folder(self.folder)
        except FileNotFoundError:
            raise NotFound(f"the folder of {self.path!r} was removed while the file was written") from None


def place_of(root: Root, path: str, key: str) -> Place:
    """The draft ``key`` of ``path``. ``InvalidName`` if one of the two cannot be."""
    folder, name = encode_file(path)
    return Place(root, path, folder, name, temporary_name(RESERVED + key))


def temporary_name(ref: str) -> bytes:
    """The file name of a draft. ``InvalidName`` unless it is one that this backend gives."""
    key = ref.removeprefix(RESERVED)
    if key == ref or not KEY.fullmatch(key) or len(ref) >= NAME_MAX:
        raise InvalidName(f"{ref!r} is not the name of a draft")
    return ref.encode()


def begin(place: Place, size: int, *, durable: bool) -> Descriptor:
    """Create an empty draft and, where missing, its folder. ``NoSpace`` if ``size`` bytes do not fit."""
    with Doing("create", place.path), place.root.make_folder(place.folder, durable=durable) as folder:
        file = _create(folder.fd, place.temporary, place.path)
        reached("posix.draft:created")
        try:
            _lock(file)
            if size >= SMALL:
                _require_space(file.fd, size, place.path)
                os.ftruncate(file.fd, size)
        except BaseException:
            os.unlink(place.temporary, dir_fd=folder.fd)
            raise
    return file


def take_over(place: Place, ref: str, size: int) -> Descriptor:
    """Make the draft that another attempt began ours. ``NotFound`` if it is gone."""
    older = temporary_name(ref)
    with Doing("take over the draft of", place.path), place.open_folder() as folder:
        _rename_draft(folder.fd, older, place)
        reached("posix.take_over:renamed")
        file = Descriptor(os.open(place.temporary, REOPEN, dir_fd=folder.fd))
        if not stat.S_ISREG(os.fstat(file.fd).st_mode):
            raise NotFound(f"the draft {ref!r} is not a regular file", path=place.path)
        if not _lock(file):
            file = _own_inode(folder.fd, place, file)
        os.ftruncate(file.fd, size)
    return file


def remove(place: Place, name: bytes, *, durable: bool) -> None:
    """Remove one draft and the copy that a take-over may have begun; nothing there is fine.

    ``durable``: a power cut does not bring it back when nobody remembers it any more.
    """
    with Doing("remove the draft of", place.path):
        try:
            folder = place.root.open_folder(place.folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with folder:
            found = [_unlink(folder.fd, leftover) for leftover in (name, _copy_of(name))]
            reached("posix.remove:unlinked")
            if durable and any(found):
                sync_folder(folder.fd)


class PosixDraft:
    """A draft; see ``scigate.storage_backends.backend.Draft`` for what the methods promise.

    ``digests`` are not compared on ``publish``: nothing but reading all again could, and ``read`` does that.
    """

    def __init__(
        self, place: Place, file: Descriptor, size: int, identity: str, *, fresh: bool, deferred: bool, from_disk: bool
    ) -> None:
        self.ref = place.temporary.decode()
        self.identity: str | None = identity
        self._place, self._size = place, size
        self._file: Descriptor | None = file
        self._fresh, self._deferred, self._from_disk = fresh, deferred, from_disk
        self._begun: set[int] = set()
        self._unfinished: dict[int, object] = {}  # by number: the last write of a block, until it succeeds
        self._sealed = False
        self._failed_syncs = place.root.failed_syncs
        self._broken = ""
        self._idle = threading.Condition()  # held for moments; notified when a write ends
        self._storing = 0

    def write(self, number: int, offset: int, length: int, buffers: Iterable[Buffer]) -> PartReceipt:
        self._require_inside(offset, length)
        file, skip, started = self._start_block(number)
        end = offset + length
        at = offset
        for buffer in buffers:
            data = as_bytes(buffer)
            if at + len(data) > end:
                raise Truncated(f"block {number} has more than its {length} bytes", path=self._place.path)
            if not (skip and len(data) >= HOLE and is_zero(data)):
                self._store(file, data, at, number, started)
            at += len(data)
        if at < end:
            raise Truncated(f"block {number} has {at - offset} of its {length} bytes", path=self._place.path)
        self._finish_block(number, started)
        return PartReceipt(number, offset, length)

    def fill(self, source: Descriptor, progress: Callable[[int], None]) -> PartReceipt:
        """Write all of it from an open file, without a byte through us where the kernel can."""
        file, _, started = self._start_block(0)
        try:
            copy_data(source.fd, file.fd, self._size, progress)
            reached("posix.copy:filled")
        except OSError as error:
            raise meaning_of(error, "copy to", self._place.path) from error
        self._finish_block(0, started)
        return PartReceipt(0, 0, self._size)

    def forget(self) -> None:
        """Whoever reads the published file is answered by the medium, as ``read`` is. Once it is sealed."""
        if self._from_disk and self._file:
            forget_cache(self._file.fd)

    def parts(self) -> Mapping[int, PartReceipt]:
        """Nothing: a file cannot say which of its bytes were written. ``read`` them again instead."""
        return {}

    def seal(self) -> None:
        """fdatasync; deferred: close the file, so that many small drafts need no descriptors.

        An error is final: the kernel drops the pages it could not write and a second fsync would find nothing
        wrong (fsync(2)). So the draft is removed, and the attempt begins anew.
        """
        self._require_sound()
        if not self._deferred:
            self._sync(self._opened())
            reached("posix.seal:synced")
        self._sealed = True
        if self._deferred:
            self._close()

    def read(self, offset: int, length: int) -> Iterator[Buffer]:
        """What is stored, with the page cache dropped first. Deferred: from the medium after ``extras.sync``."""
        self._require_inside(offset, length)
        self._require_sound()
        file = self._file or self._reopened()
        if self._from_disk:
            if not self._deferred and not self._sealed:
                self._sync(file)
            forget_cache(file.fd, offset, 0 if offset + length == self._size else length)
        yield from buffers(file.fd, self._place.path, offset, length, lambda: None)

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        self._require_whole(receipts)
        self._require_sound()
        if not self._sealed:
            self.seal()
        place = self._place
        with Doing("publish", place.path), place.open_folder() as folder:
            self._require_mine(_look(folder.fd, place))
            self._close()  # a late writer must not reach the published file
            rename(folder.fd, place.temporary, folder.fd, place.name, if_absent=if_absent)
            reached("posix.publish:renamed")
            if not self._deferred:
                sync_folder(folder.fd)
            return entry_of(place.path, os.stat(place.name, dir_fd=folder.fd, follow_symlinks=False))

    def discard(self) -> None:
        self._broken = self._broken or "it was discarded"
        self._file = None  # closed when the last writer lets go
        remove(self._place, self._place.temporary, durable=not self._deferred)

    def _start_block(self, number: int) -> tuple[Descriptor, bool, object]:
        """The file to write to, whether the block's place is still a hole that zeros can stay, this write's mark."""
        file = self._opened()
        started = object()
        with self._idle:
            self._sealed = False
            self._unfinished[number] = started
            skip = self._fresh and self._size >= SMALL and number not in self._begun
            self._begun.add(number)
        return file, skip, started

    def _finish_block(self, number: int, started: object) -> None:
        with self._idle:
            if self._unfinished.get(number) is started:
                del self._unfinished[number]

    def _store(self, file: Descriptor, data: memoryview, offset: int, number: int, started: object) -> None:
        """Write, unless this block or the draft has meanwhile been finished by somebody faster."""
        with self._idle:
            if self._file is not file or self._unfinished.get(number) is not started:
                text = f"block {number} of {self._place.path!r} was written again, or the draft finished, meanwhile"
                raise Fenced(text, path=self._place.path)
            self._storing += 1
        try:
            with Doing("write", self._place.path):
                write_all(file.fd, data, offset)
            reached("posix.write:written")
        finally:
            with self._idle:
                self._storing -= 1
                self._idle.notify_all()

    def _close(self) -> None:
        """Let go of the file when nobody writes to it any more; whoever comes later finds the draft finished."""
        with self._idle:
            self._idle.wait_for(lambda: not self._storing)
            self._file = None

    def _opened(self) -> Descriptor:
        self._require_sound()
        with self._idle:
            file = self._file or self._reopened()
            self._file = file
            return file

    def _reopened(self) -> Descriptor:
        place = self._place
        with Doing("open the draft of", place.path), place.open_folder() as folder:
            _look(folder.fd, place)
            file = Descriptor(os.open(place.temporary, REOPEN, dir_fd=folder.fd))
            self._require_mine(os.fstat(file.fd))
            _lock(file)
            return file

    def _sync(self, file: Descriptor) -> None:
        try:
            os.fdatasync(file.fd)
        except OSError as error:
            meaning = meaning_of(error, "make durable", self._place.path)
            self._broken = "it could not be made durable"
            with suppress(StorageError):  # what matters is why it failed; abandon() finds what is left
                self.discard()
            raise (
                meaning if isinstance(meaning, NoSpace) else Unreachable(meaning.message, path=meaning.path)
            ) from error

    def _require_mine(self, found: os.stat_result) -> None:
        path = self._place.path
        if identity_of(found) != self.identity:
            raise Fenced(f"the draft of {path!r} was replaced by a newer attempt", path=path)
        if self._sealed and found.st_size != self._size:
            raise Truncated(f"the draft of {path!r} has {found.st_size} of {self._size} bytes", path=path)

    def _require_sound(self) -> None:
        if self._deferred and self._place.root.failed_syncs != self._failed_syncs:
            self._broken = self._broken or "it may be what could not be made durable"
        if self._broken:
            raise Unreachable(f"the draft of {self._place.path!r} must be begun anew: {self._broken}")

    def _require_inside(self, offset: int, length: int) -> None:
        if min(offset, length) < 0 or offset + length > self._size:
            text = f"bytes {offset} to {offset + length} are not inside the {self._size} bytes of this draft"
            raise Truncated(text, path=self._place.path)

    def _require_whole(self, receipts: Iterable[PartReceipt]) -> None:
        end = 0
        if self._unfinished:
            text = f"a write of block {min(self._unfinished)} of {self._place.path!r} has not succeeded"
            raise Truncated(text, path=self._place.path)
        for part in sorted(receipts, key=lambda receipt: (receipt.offset, receipt.length)):
            if part.offset != end:
                break
            end += part.length
        if end != self._size:
            text = f"the blocks of {self._place.path!r} end at byte {end} of {self._size}, or leave a gap there"
            raise Truncated(text, path=self._place.path)


def rename(source_folder: int, source: bytes, folder: int, name: bytes, *, if_absent: bool) -> None:
    """Give a file its name, atomically. Raises ``OSError``."""
    if if_absent:
        rename_no_replace(source_folder, source, folder, name)
    else:
        os.rename(source, name, src_dir_fd=source_folder, dst_dir_fd=folder)


def _create(folder: int, name: bytes, path: str) -> Descriptor:
    try:
        return Descriptor(os.open(name, CREATE, 0o666, dir_fd=folder))
    except FileExistsError:
        raise Fenced(f"another attempt on {path!r} has the same key", path=path) from None


def _look(folder: int, place: Place) -> os.stat_result:
    try:
        return os.stat(place.temporary, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise Fenced(f"the draft of {place.path!r} was taken over or removed", path=place.path) from None


def _rename_draft(folder: int, older: bytes, place: Place) -> None:
    if older == place.temporary:
        return
    try:
        rename_no_replace(folder, older, folder, place.temporary)
    except FileExistsError:
        raise Fenced(f"another attempt on {place.path!r} has the same key", path=place.path) from None


def _lock(file: Descriptor) -> bool:
    """Whether nobody else writes to this file; False also where the file system knows no locks."""
    try:
        fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _own_inode(folder: int, place: Place, shared: Descriptor) -> Descriptor:
    """Copy the draft that another writer still holds open, and put the copy in its place."""
    copy = _copy_of(place.temporary)
    _unlink(folder, copy)
    mine = Descriptor(os.open(copy, CREATE, 0o666, dir_fd=folder))
    _lock(mine)
    copy_data(shared.fd, mine.fd, os.fstat(shared.fd).st_size, lambda _: None)
    reached("posix.take_over:copied")
    os.rename(copy, place.temporary, src_dir_fd=folder, dst_dir_fd=folder)
    return mine


def _copy_of(name: bytes) -> bytes:
    return name + b"~"  # no key holds this character


def _unlink(folder: int, name: bytes) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _require_space(fd: int, size: int, path: str) -> None:
    found = os.fstatvfs(fd)
    free = found.f_bavail * found.f_frsize
    if found.f_blocks and size > free:  # some network file systems say 0 of 0
        sizes = f"{size} bytes ({size / MiB:,.1f} MiB), {free / MiB:,.1f} MiB are free"
        raise NoSpace(f"{path!r} needs {sizes}", path=path)
