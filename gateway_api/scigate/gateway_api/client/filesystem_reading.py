"""What of a gateway's storages fsspec can look at and read; ``filesystem`` adds writing."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem, _Cached
from fsspec.utils import tokenize

from ..resources import Entry
from .access import find
from .arguments import location
from .errors import NotConfigured, NotFound, RequestRefused
from .gateway import Gateway
from .os_errors import as_os_errors, raises_os_errors
from .remote_file import FROM_GATEWAY, ranged, signed
from .session import Session, file_path

PATIENCE: Final = timedelta(seconds=30)
AT_ONCE: Final = 4  # requests that one call makes at the same time
_TYPES: Final = {"file": "file", "folder": "directory"}


class _CachedForUser(_Cached):  # type: ignore[misc]
    """fsspec keeps file systems by their arguments; ours also by whom it would ask as, so that nobody gets another
    user's after the environment has changed. Of the token only a hash of a hash is in the key."""

    @property
    def access_found(cls) -> str:  # noqa: N805 the class is what is asked
        try:
            access = find()
        except NotConfigured:
            return ""
        return hashlib.sha256(f"{access.url}\n{access.token.reveal()}".encode()).hexdigest()


class ReadableFileSystem(AbstractFileSystem, metaclass=_CachedForUser):  # type: ignore[misc]
    """All storages of a gateway, as far as this user may see them."""

    protocol = "scigate"
    _extra_tokenize_attributes = ("access_found",)

    def __init__(self, url: str | None = None, token: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given = (url, token)
        self._connected: tuple[int, Gateway] | None = None

    @property
    def gateway(self) -> Gateway:
        """The connection; a process that was forked makes its own."""
        if self._connected is None or self._connected[0] != os.getpid():
            with as_os_errors(""):
                self._connected = os.getpid(), Gateway(*self._given, patience=PATIENCE)
        return self._connected[1]

    def __repr__(self) -> str:
        return f"<ScigateFileSystem {self.gateway.url}>"

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """For JSON; without the password, also without a token."""
        described: dict[str, Any] = super().to_dict(include_password=include_password)
        if not include_password:
            described.pop("token", None)
        return described

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return str(super()._strip_protocol(path)).lstrip("/")

    # Looking ---------------------------------------------------------------------------------------------------

    @raises_os_errors
    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a folder, or the file itself; without a path, the storages."""
        path = self._strip_protocol(path)
        found = sorted(self._children(path), key=lambda info: str(info["name"]))
        return found if detail else [info["name"] for info in found]

    @raises_os_errors
    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What is at a path: ``name``, ``size`` and ``type``, besides ``mtime``, ``version``, ``etag``, ``digests``."""
        path = self._strip_protocol(path)
        if not path:
            return _folder("")
        if "/" not in path:
            return _folder(self.gateway.storage(location(f"{path}:/").storage).name)
        try:
            return _info(self.gateway.stat(location_of(path)))
        except NotFound as error:
            try:  # storages without folders know only what is below one
                return _info(self.gateway.stat(location_of(path) + "/"))
            except RequestRefused:
                raise error from None

    def exists(self, path: str, **_: Any) -> bool:
        """Whether anything is there. A gateway that cannot say it is an error."""
        return self._type(path) is not None

    def isdir(self, path: str) -> bool:
        return self._type(path) == "directory"

    def isfile(self, path: str) -> bool:
        return self._type(path) == "file"

    def walk(self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = None, **_: Any) -> Any:
        """Folder by folder. What has gone meanwhile is passed over; any other error is raised, so nothing is missed."""
        on_error = _unless_gone if on_error is None else on_error
        return super().walk(path, maxdepth=maxdepth, topdown=topdown, on_error=on_error, **_)

    @raises_os_errors
    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        """Every file below a path, in one listing."""
        path = self._strip_protocol(path)
        if withdirs or maxdepth is not None or not path:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        found = {str(info["name"]): info for info in self._listed(path, recursive=True)}
        if not found and self.isfile(path):
            found = {path: self.info(path)}
        return {name: found[name] for name in sorted(found)} if detail else sorted(found)

    def modified(self, path: str) -> datetime:
        """When the file was changed last. ``NotImplementedError`` where its storage does not tell."""
        found: datetime | None = self.info(path)["modified"]
        if found is None:
            raise NotImplementedError(f"The storage does not tell when {path} was changed.")
        return found

    def created(self, path: str) -> datetime:
        raise NotImplementedError("Storages tell when a file was changed, not when it was created: ask modified().")

    def ukey(self, path: str) -> str:
        """Changes whenever the content does."""
        return str(tokenize(identity(self.info(path))))

    def checksum(self, path: str) -> int:
        return int(self.ukey(path), 16)

    @raises_os_errors
    def sign(self, path: str, expiration: int = 100, **_: Any) -> str:
        """A URL of the storage's own that reads the file without a token, for as long as the gateway's admin has set.

        ``NotImplementedError`` unless the storage can make one and the admin allows it.
        """
        url = signed(self._session, self._resource(self._strip_protocol(path)))
        if url is None:
            raise NotImplementedError("The gateway gives no URL of this file that works without a token: use open().")
        return url

    # Reading ---------------------------------------------------------------------------------------------------

    @raises_os_errors
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        if start is None and end is None:
            headers = {"Accept-Encoding": "identity"}
            resource = self._resource(path)
            return self._session.send("GET", resource, params=FROM_GATEWAY, repeatable=True, headers=headers).content
        if start is None or end is None or min(start, end) < 0:
            info = self._readable(path)
            first, last, _step = slice(start, end).indices(info["size"])
            return self.read_range(path, first, last, info)
        return self.read_range(path, start, end, None)

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """The content of a file; of many, a few at once, path → content."""
        names = self.expand_path(path, recursive=recursive)
        if recursive:
            names = [name for name in names if not self.isdir(name)]
        elif isinstance(path, str) and names == [self._strip_protocol(path)]:
            return self.cat_file(path, **options)
        results = dict(zip(names, self._at_once(self.cat_file, names), strict=True))
        if on_error == "return":
            return results
        failed = {name for name, result in results.items() if isinstance(result, Exception)}
        return {name: or_raise(result) for name, result in results.items() if name not in failed or on_error != "omit"}

    def read_range(self, path: str, start: int, end: int, known: dict[str, Any] | None) -> bytes:
        """Bytes of a file, of the version that ``known`` (an ``info``) tells of; else ``FileChanged``."""
        if start >= end:
            return b""
        with as_os_errors(path):
            return ranged(self._session, self._resource(path), start, end, known=known, path=path)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Many ranges at once; all those of one file are of the same version."""
        if max_gap is not None:
            raise NotImplementedError("Ranges are not merged: leave max_gap out.")
        many = [[one] * len(paths) if one is None or isinstance(one, int) else one for one in (starts, ends)]
        names: list[str] = self._strip_protocol(list(paths))
        infos = dict(zip(dict.fromkeys(names), self._at_once(self._readable, dict.fromkeys(names)), strict=True))

        def read(wanted: tuple[str, int | None, int | None]) -> bytes | Exception:
            info = infos[wanted[0]]
            if isinstance(info, Exception):
                return info
            first, last, _step = slice(*wanted[1:]).indices(info["size"])
            return self.read_range(wanted[0], first, last, info)

        results = self._at_once(read, zip(names, *many, strict=True))
        return results if on_error == "return" else [or_raise(result) for result in results]

    @raises_os_errors
    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        """Fetch a file: proven, and under its name only when it is whole. To an open file: as it comes."""
        path = self._strip_protocol(rpath)
        if outfile is not None or hasattr(lpath, "write"):
            super().get_file(path, lpath, callback, outfile, **options)
        elif self.info(path)["type"] == "directory":
            os.makedirs(lpath, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
            got = self.gateway.get(
                location_of(path), lpath, overwrite=True, exactly=True, received=callback.relative_update
            )
            callback.set_size(got.size)

    # Inside ----------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> Session:
        return self.gateway._session

    def _resource(self, path: str) -> str:
        found = location(location_of(path))
        return file_path(found.storage, found.path)

    def _type(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # nothing can have such a name
                return None
            raise

    def _readable(self, path: str) -> dict[str, Any]:
        info: dict[str, Any] = self.info(path)
        if info["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, "It is a folder: name a file in it", path)
        return info

    def _children(self, path: str) -> list[dict[str, Any]]:
        if not path:
            return [_folder(storage.name) for storage in self.gateway.storages()]
        found = list(self._listed(path, recursive=False))
        if not found and (info := self.info(path))["type"] != "directory":
            return [info]
        return found

    def _listed(self, path: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
        """Nothing where no folder is: storages without folders do not tell that from an empty one either."""
        folder = location_of(path)
        try:
            yield from map(
                _info, self.gateway.ls(folder if folder.endswith("/") else folder + "/", recursive=recursive)
            )
        except NotFound:
            return

    def _at_once(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Results in order; of what failed its exception."""
        with ThreadPoolExecutor(AT_ONCE, "scigate-fs") as pool:
            futures = [pool.submit(work, item) for item in items]
        return [future.exception() or future.result() for future in futures]


def location_of(path: str) -> str:
    """``storage/path`` as the gateway writes it."""
    storage, _, below = path.partition("/")
    return f"{storage}:/{below}"


def _info(entry: Entry) -> dict[str, Any]:
    storage, _, path = entry.location.partition(":/")
    return {
        "name": f"{storage}/{path}".rstrip("/"),
        "size": entry.size,
        "type": _TYPES.get(entry.kind, "other"),
        "modified": entry.modified,
        "mtime": entry.modified.timestamp() if entry.modified else None,
        "version": entry.version,
        "etag": entry.etag,
        "digests": entry.digests,
    }


def _folder(name: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("modified", "mtime", "version", "etag"))
    return {"name": name, "size": 0, "type": "directory", **nothing, "digests": {}}


def identity(info: dict[str, Any]) -> tuple[Any, ...]:
    """Equal only for the same content."""
    return tuple(info[key] for key in ("name", "size", "mtime", "version")) + tuple(sorted(info["digests"].items()))


def or_raise(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
