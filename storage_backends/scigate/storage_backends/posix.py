"""A folder of this machine, or of a file system mounted here, as a storage.

Files keep their names byte by byte. What is written stands under a hidden name beside its destination until it is
whole and durable, and then gets its name by an atomic rename, so a reader never sees a part of a file. Links are
never followed; links, pipes, sockets and devices are listed with the reason why they are not read.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from pydantic import field_validator

from .backend import Buffer, Digests, Entry, Extras, Kind, Limits, MiB
from .crash_points import reached
from .digests import digest, require_digests
from .errors import AlreadyExists, InvalidName, Permanent, Truncated, Unsupported
from .posix_calls import Doing, sync_file_system, sync_folder
from .posix_data import buffers, forget_cache
from .posix_draft import PosixDraft, begin, place_of, remove, rename, take_over, temporary_name
from .posix_paths import (
    Opener,
    Root,
    encode,
    encode_file,
    encode_folder,
    entry_of,
    identity_of,
    look,
    open_regular,
    require_regular,
    require_version,
    version_of,
)
from .posix_scan import scan
from .registry import BackendType, Connect, Options


class PosixOptions(Options):
    """``root``: an absolute path of a folder that is there; looked for when the storage is first used. ``~`` is the
    home of the user that runs the gateway.

    ``verify_from``: ``disk`` drops what the page cache holds of a file before it is read to verify it, so that the
    medium answers; ``cache`` does not, for file systems that live in memory or verify by themselves (ZFS, btrfs).
    """

    root: str
    verify_from: Literal["disk", "cache"] = "disk"

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: str) -> str:
        root = os.path.expanduser(root)
        if not os.path.isabs(root) or "\0" in root:
            raise ValueError(f"root must be an absolute path such as /data/scigate, not {root!r}")
        return root

    @property
    def root_url(self) -> str:
        """RFC 8089."""
        return f"file://{quote(self.root.rstrip('/'), errors='surrogateescape')}/"


class PosixBackend:
    """See ``scigate.storage_backends.backend.Backend`` for what the methods promise.

    ``put_max`` is 0 because a deferred draft costs no more than a ``put`` and many become durable at once.
    """

    def __init__(self, options: PosixOptions, opener: Opener | None = None) -> None:
        self._root = Root(options.root, opener)
        self._from_disk = options.verify_from == "disk"
        self.limits = Limits(local=True, block_preferred=32 * MiB, put_max=0, concurrency=8, drafts_readable=True)
        self.extras = Extras(
            copy=self._copy, digest=self._digest, move=self._move, mkdir=self._mkdir, sync=self._sync, free=self._free,
            total=self._total,
        )  # fmt: skip

    def stat(self, path: str) -> Entry:
        return look(self._root, path)

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        return scan(self._root, prefix, after, recursive=recursive)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        """The file is looked at before the first and after the last byte is read: who writes to it is noticed."""
        return self._read(path, offset, length, version, from_disk=False)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        require_digests([data], digests or {}, path)
        size = memoryview(data).nbytes
        draft = self.draft(path, size, key=key or f"put-{secrets.token_hex(8)}")
        try:
            receipt = draft.write(0, 0, size, [data])
            return draft.publish([receipt], if_absent=if_absent, digests={})
        except BaseException:
            draft.discard()
            raise

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> PosixDraft:
        place = place_of(self._root, path, key)
        file = begin(place, size, durable=not deferred) if ref is None else take_over(place, ref, size)
        found = os.fstat(file.fd)
        deferred = deferred and self._root.is_synced(found.st_dev)
        identity = identity_of(found)
        return PosixDraft(place, file, size, identity, fresh=ref is None, deferred=deferred, from_disk=self._from_disk)

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        place = place_of(self._root, path, key)
        remove(place, place.temporary, durable=True)
        if ref is not None:
            remove(place, temporary_name(ref), durable=True)

    def delete(self, path: str) -> None:
        """The removal itself is not synced: after a power cut a file may be there again, never half of it."""
        if path == "":
            raise InvalidName("the root of a storage cannot be deleted", path=path)
        entry = self.stat(path)
        if not path.endswith("/"):
            require_regular(entry)
        folder, _, name = encode(path).rpartition(b"/")
        with Doing("delete", path), self._root.open_folder(folder) as above:
            if entry.kind is Kind.FOLDER:
                _remove_folder(name, above.fd, path)
            else:
                os.unlink(name, dir_fd=above.fd)

    def _read(
        self, path: str, offset: int, length: int | None, version: str | None, *, from_disk: bool
    ) -> Iterator[Buffer]:
        with open_regular(self._root, path) as file:
            found = os.fstat(file.fd)
            require_version(found, version, path)
            length = found.st_size - offset if length is None else length
            if min(offset, length) < 0 or offset + length > found.st_size:
                raise Truncated(
                    f"{path!r} has {found.st_size} bytes; {length} from {offset} on are not there", path=path
                )
            if from_disk:
                forget_cache(file.fd)
            seen = version_of(found)
            yield from buffers(file.fd, path, offset, length, lambda: require_version(os.fstat(file.fd), seen, path))

    def _copy(
        self,
        source: str,
        destination: str,
        *,
        version: str | None,
        if_absent: bool,
        key: str,
        progress: Callable[[int], None],
    ) -> Entry:
        with open_regular(self._root, source) as file:
            found = os.fstat(file.fd)
            require_version(found, version, source)
            draft = self.draft(destination, found.st_size, key=key)
            try:
                receipt = draft.fill(file, progress)
                require_version(os.fstat(file.fd), version_of(found), source)
                draft.seal()
                draft.forget()
                return draft.publish([receipt], if_absent=if_absent, digests={})
            except BaseException:
                draft.discard()
                raise

    def _digest(self, path: str, algorithm: str) -> str:
        return digest(algorithm, self._read(path, 0, None, None, from_disk=self._from_disk))

    def _move(self, source: str, destination: str, if_absent: bool) -> Entry:
        """A file, or a whole folder (both with a trailing slash), within one file system."""
        _require_same_kind(source, destination)
        entry = self.stat(source)
        if not source.endswith("/"):
            require_regular(entry)
        (old_folder, old), (new_folder, new) = _split(source), _split(destination)
        with (
            Doing("move", source),
            self._root.open_folder(old_folder) as above,
            self._root.make_folder(new_folder, durable=True) as below,
        ):
            _rename_across(above.fd, old, below.fd, new, source, if_absent=if_absent)
            reached("posix.move:renamed")
            sync_folder(below.fd)
            sync_folder(above.fd)
            return entry_of(destination, os.stat(new, dir_fd=below.fd, follow_symlinks=False))

    def _mkdir(self, path: str) -> None:
        raw = encode_folder(path)
        with Doing("create the folder", path):
            self._root.make_folder(raw, durable=True).close()

    def _sync(self) -> None:
        """Whose bytes an error is about nobody knows, and it is told only once (syncfs(2)): so it is noted for all."""
        with Doing("make durable", ""):
            try:
                sync_file_system(self._root.descriptor().fd)
            except OSError:
                self._root.failed_syncs += 1
                raise

    def _free(self) -> int:
        with Doing("ask for the free space of", ""):
            found = os.fstatvfs(self._root.descriptor().fd)
        return found.f_bavail * found.f_frsize

    def _total(self) -> int:
        with Doing("ask for the size of", ""):
            found = os.fstatvfs(self._root.descriptor().fd)
        return found.f_blocks * found.f_frsize


def _split(path: str) -> tuple[bytes, bytes]:
    return encode_file(path.removesuffix("/"))


def _require_same_kind(source: str, destination: str) -> None:
    if source.endswith("/") != destination.endswith("/"):
        raise InvalidName(f"{source!r} and {destination!r} must both be files, or both folders with a trailing '/'")


def _remove_folder(name: bytes, above: int, path: str) -> None:
    try:
        os.rmdir(name, dir_fd=above)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        text = f"the folder {path!r} is not empty, or a transfer into it is running"
        raise Permanent(text, path=path, next_step="Delete what is in it first.") from None


def _rename_across(above: int, old: bytes, below: int, new: bytes, path: str, *, if_absent: bool) -> None:
    try:
        rename(above, old, below, new, if_absent=if_absent)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise Unsupported(f"{path!r} cannot be moved to another file system: copy it, then delete it") from None
        if error.errno == errno.EEXIST:
            raise AlreadyExists(f"cannot move {path!r}: something is at its destination already", path=path) from None
        raise


def _open(options: PosixOptions, connect: Connect) -> PosixBackend:
    return PosixBackend(options)


TYPE = BackendType("posix", "a folder of this machine or of a mounted file system", PosixOptions, _open)
