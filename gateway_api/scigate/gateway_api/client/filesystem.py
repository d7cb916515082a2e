"""``scigate://storage/path`` for fsspec, and with it for pandas, xarray, dask, pyarrow and all that builds on it."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import SameFileError
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import trailing_sep
from fsspec.spec import AbstractFileSystem
from fsspec.utils import other_paths

from ..resources import Overwrite
from .arguments import location
from .errors import RequestRefused
from .filesystem_reading import ReadableFileSystem, identity, location_of, or_raise
from .os_errors import FileChanged, as_os_errors, raises_os_errors
from .progress import printable
from .remote_file import BLOCK, NewFile, RemoteFile

LABEL_MAX: Final = 200  # characters of ``resources.Label``
MOST: Final = 10_000  # files of a transfer: ``resources.TransferRequest``


class ScigateFileSystem(ReadableFileSystem):
    """All storages of a gateway, as far as this user may see them; the first name of a path is the storage's.

    ``url`` and ``token`` are found in the environment and in files when they are not given; see ``access.find``.
    They are found again wherever the file system is unpickled, so that a token that was found never travels; one that
    was given does. Errors are ``OSError`` and its subclasses and say what to do next.
    """

    # Writing ---------------------------------------------------------------------------------------------------

    @raises_os_errors
    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        """Send a file; returns when it is proven at its storage."""
        path = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            self.makedirs(path, exist_ok=True)
            return
        callback.set_size(os.path.getsize(lpath))
        self._deliver(Path(lpath), path, _overwrite(mode), sent=callback.relative_update)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        with as_os_errors(path), tempfile.NamedTemporaryFile(prefix="scigate-") as file:
            file.write(value)
            file.flush()
            self._deliver(Path(file.name), path, _overwrite(mode))

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """An empty file; one that is there becomes empty."""
        if not truncate and self.exists(path):
            raise NotImplementedError("The time of change of a file cannot be set without writing it.")
        self.pipe_file(path, b"")

    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: Any = None,
        **_: Any,
    ) -> None:
        """Copy files, in one transfer; folders with all in them if ``recursive``. See ``cp_file``."""
        wanted = _Wanted(self)
        AbstractFileSystem.copy(wanted, path1, path2, recursive=recursive, maxdepth=maxdepth, on_error=on_error)
        ignores = on_error == "ignore" or (on_error is None and recursive)
        for start in range(0, len(wanted.pairs), MOST):
            try:
                self._copy(wanted.pairs[start : start + MOST])
            except FileNotFoundError:  # removed since it was listed
                if not ignores:
                    raise

    @raises_os_errors
    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file, within a storage or to another; no byte comes here. Returns when it is proven there."""
        self._copy([(path1, path2)])

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **_: Any) -> None:
        """Move files: renamed within a storage, else copied, proven and only then removed."""
        sources = self.expand_path(path1, recursive=recursive, maxdepth=maxdepth)
        into = trailing_sep(path2) or self.isdir(path2)
        targets = other_paths(sources, self._strip_protocol(path2), exists=into and not trailing_sep(path1))
        folders = []
        for source, target in zip(sources, targets, strict=True):
            if self.isdir(source):
                self.makedirs(target, exist_ok=True)
                folders.append(source)
            elif source != target:
                self._move_file(source, target)
        for folder in reversed(folders):
            self._remove_folder(folder)

    @raises_os_errors
    def rm_file(self, path: str) -> None:
        self.gateway.delete(location_of(self._strip_protocol(path)))

    @raises_os_errors
    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self.gateway.delete(location_of(self._strip_protocol(path)) + "/")

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files; folders with all in them if ``recursive``."""
        found = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        folders = [one for one in found if self.isdir(one)] if recursive else []
        for result in self._at_once(self.rm_file, sorted(set(found) - set(folders))):
            or_raise(result)
        for folder in reversed(folders):
            self._remove_folder(folder)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a folder and those above it; where a storage has no folders there is nothing to do."""
        self.makedirs(path, exist_ok=False)

    @raises_os_errors
    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if "/" not in path or self.exists(path):
            if self.info(path)["type"] != "directory" or not exist_ok:
                raise FileExistsError(errno.EEXIST, "There is something of this name already", path)
            return
        try:
            self.gateway.mkdir(location_of(path) + "/")
        except RequestRefused as error:
            if error.code != "unsupported":
                raise

    # Inside ----------------------------------------------------------------------------------------------------

    @raises_os_errors
    def _open(  # noqa: PLR0917 fsspec's order
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_type: str = "blockcache",
        cache_options: dict[str, Any] | None = None,
        **_: Any,
    ) -> RemoteFile | NewFile:
        """Reading: what is there now. Writing: what is written is there, whole and proven, when ``close`` returns."""
        if mode == "rb":
            how = {"block_size": block_size or BLOCK, "cache_type": cache_type, "cache_options": cache_options}
            return RemoteFile(self, path, details=self._readable(path), **how)
        if mode not in ("wb", "xb"):
            raise NotImplementedError(f"A file is written whole, not with mode {mode!r}: read it and write it anew.")
        self._check_place(path)
        if mode == "xb" and self.exists(path):
            raise FileExistsError(errno.EEXIST, "It exists already", path)
        overwrite = _overwrite("create" if mode == "xb" else "overwrite")
        return NewFile(path, lambda file: self._deliver(file, path, overwrite), at_close=autocommit)

    def _check_place(self, path: str) -> None:
        """Say before anything is written what can be known then."""
        name, slash, _ = path.partition("/")
        if not slash:
            raise IsADirectoryError(errno.EISDIR, "It is a storage: name a file in it", path)
        if self.gateway.storage(location(f"{name}:/").storage).read_only:
            raise PermissionError(errno.EACCES, "The storage is read-only: write to another one", path)

    def _deliver(self, file: Path, path: str, overwrite: Overwrite, **options: Any) -> None:
        target = location_of(path)
        if target.endswith("/"):
            raise IsADirectoryError(errno.EISDIR, "It is a storage: name a file in it", path)
        label = printable(path.rpartition("/")[2])[-LABEL_MAX:]
        self.gateway.put(file, target, overwrite=overwrite, label=label, **options).wait(progress=False)

    def _copy(self, pairs: list[tuple[str, str]]) -> None:
        named = [(self._strip_protocol(source), self._strip_protocol(target)) for source, target in pairs]
        files = []
        for (source, target), info in zip(named, self._at_once(self.info, [one for one, _ in named]), strict=True):
            if or_raise(info)["type"] == "directory":
                self.makedirs(target, exist_ok=True)
            elif source != target:
                files.append((location_of(source), location_of(target)))
        if files:
            with as_os_errors(named[0][0]):
                self.gateway.submit(files, overwrite=Overwrite.OVERWRITE).wait(progress=False)

    def _move_file(self, source: str, target: str) -> None:
        with as_os_errors(source):
            if source.partition("/")[0] == target.partition("/")[0]:
                self.gateway.move(location_of(source), location_of(target), overwrite=True)
                return
        before = identity(self.info(source))
        self._refuse_same(source, before, target)
        self.cp_file(source, target)
        if identity(self.info(source)) != before:
            raise FileChanged(source)
        self.rm_file(source)

    def _refuse_same(self, source: str, found: tuple[Any, ...], target: str) -> None:
        """Two storages may lead to one place: then the source that is removed in the end would be the only copy."""
        with suppress(FileNotFoundError):
            if identity(self.info(target))[1:] == found[1:]:
                raise SameFileError(
                    f"{printable(source)} and {printable(target)} seem to be one file, of one time and version. "
                    "Nothing was moved: remove one of them, if they are two"
                )

    def _remove_folder(self, path: str) -> None:
        if "/" not in path:
            return  # what was in the storage is gone; the storage itself stays
        with suppress(FileNotFoundError):  # a storage without folders: it went with the last file in it
            self.rmdir(path)


class _Wanted:
    """Stands for a file system while fsspec works out what is to be copied to where."""

    def __init__(self, fs: ScigateFileSystem) -> None:
        self._fs = fs
        self.pairs: list[tuple[str, str]] = []

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        self.pairs.append((path1, path2))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)


def _overwrite(mode: str) -> Overwrite:
    return {"overwrite": Overwrite.OVERWRITE, "create": Overwrite.FAIL}[mode]
