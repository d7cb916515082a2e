"""Files of a storage, opened through fsspec: one version is read, a whole file is written or none."""

from __future__ import annotations

import io
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import httpx
from fsspec.spec import AbstractBufferedFile

from .errors import RequestRefused
from .os_errors import FileChanged, as_os_errors
from .session import Session, checked

if TYPE_CHECKING:
    from .filesystem import ScigateFileSystem

BLOCK: Final = 4 << 20  # bytes; read ahead, and kept
BLOCKS: Final = 16  # of a file, kept in memory
FROM_GATEWAY: Final = {"redirect": 0}
"""The gateway answers itself, also where its admin lets it send clients to the storage: it knows the version."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RemoteFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file opened for reading. Every byte is of the version that it had then; ``FileChanged`` when it is replaced."""

    DEFAULT_BLOCK_SIZE = BLOCK
    fs: ScigateFileSystem

    def __init__(self, fs: ScigateFileSystem, path: str, *, details: dict[str, Any], **options: Any) -> None:
        self._details = details
        if options.get("cache_type") == "blockcache":
            options["cache_options"] = {"maxblocks": BLOCKS, **(options.get("cache_options") or {})}
        super().__init__(fs, path, "rb", size=details["size"], **options)

    def __reduce__(self) -> Any:
        """Another process goes on with this version, or is told that there is another one."""
        return _reopened, (self.fs, self.path, self.details, self.blocksize, self.loc)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.read_range(self.path, start, end, self.details)


def _reopened(fs: ScigateFileSystem, path: str, details: dict[str, Any], block_size: int, position: int) -> RemoteFile:
    file = RemoteFile(fs, path, details=details, block_size=block_size, cache_type="blockcache")
    file.seek(position)
    return file


def ranged(
    session: Session, resource: str, start: int, end: int, *, known: Mapping[str, Any] | None, path: str
) -> bytes:
    """The bytes from ``start`` to before ``end``, fewer at the end of the file; of the ``known`` version if one is.

    A strong entity tag goes with the request (RFC 9110 §13.1.1), any is compared with that of the answer.
    """
    tag = known["etag"] if known else None
    headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    if tag and not tag.startswith("W/"):
        headers["If-Match"] = tag
    try:
        answer = session.send("GET", resource, repeatable=True, params=FROM_GATEWAY, headers=headers)
    except RequestRefused as error:
        if error.status == 416 and known is None:
            return b""
        raise FileChanged(path) from None if error.status in (412, 416) else error
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    size = int(found[3]) if found else len(answer.content)
    if known and (answer.headers.get("ETag") != tag or size != known["size"]):
        raise FileChanged(path)
    return answer.content if found else answer.content[start:end]


def signed(session: Session, resource: str) -> str | None:
    """Where the gateway sends who asks for the file; None: nowhere."""
    try:
        with session._http.stream("GET", resource) as answer:
            if answer.status_code == 307:
                return str(answer.headers["Location"])
            if answer.is_error:
                answer.read()
            checked(answer)
            return None
    except httpx.TransportError as error:
        raise session.explained(error) from None


class NewFile(io.BufferedIOBase):
    """A file being written. It is collected on this machine, and delivered by ``close``: whole, or not at all.

    ``close`` returns when it is proven at its storage, else raises. When it is closed because of an exception, at the
    end of a ``with`` or by a library that clears up, nothing is delivered; nor when it is never closed. It can be
    moved about in and read while it is written, as formats such as HDF5 and ZIP need.
    """

    mode = "wb"

    def __init__(self, path: str, deliver: Callable[[Path], None], *, at_close: bool) -> None:
        self.path = path
        self._deliver, self._at_close = deliver, at_close
        self._around = sys.exception()
        self._file = cast(BinaryIO, tempfile.NamedTemporaryFile(prefix="scigate-"))  # noqa: SIM115 closed by discard

    def write(self, data: Any, /) -> int:
        return self._file.write(data)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def readinto(self, buffer: Any, /) -> int:
        return cast(io.BufferedRandom, self._file).readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        return self._file.truncate(size)

    def flush(self) -> None:
        if not self.closed:
            self._file.flush()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Deliver the file, unless an exception that began after it was opened is the reason for closing it."""
        if self.closed:
            return
        reason = sys.exception()
        if reason is not None and reason is not self._around:
            warnings.warn(f"{self.path} is not stored: it was closed because of {reason!r}", stacklevel=2)
            self.discard()
        elif self._at_close:
            self.commit()
        else:
            super().close()  # the transaction that it belongs to decides

    def commit(self) -> None:
        """Deliver what was written."""
        try:
            self._file.flush()
            with as_os_errors(self.path):
                self._deliver(Path(self._file.name))
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was written."""
        super().close()
        self._file.close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(f"{self.path} is not stored: it was never closed", ResourceWarning, stacklevel=2, source=self)
            self.discard()

    def __repr__(self) -> str:
        return f"<NewFile {self.path}>"
