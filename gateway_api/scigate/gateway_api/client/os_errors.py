"""The client's errors as those that programs expect of a file system."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from .errors import (
    AccessRefused,
    GatewayError,
    GatewayUnreachable,
    InvalidAddress,
    InvalidLocation,
    LocalFileError,
    NotConfigured,
    NotFound,
    RequestRefused,
    TransferFailed,
    WaitTimeout,
)

F = TypeVar("F", bound=Callable[..., Any])


class FileChanged(OSError):
    """The file is no longer the version that was opened; what was read before and what is there now do not fit."""

    def __init__(self, path: str) -> None:
        text = "The file was changed while it was being read. Open it again and read it from its beginning"
        super().__init__(errno.ESTALE, text, path)


_BY_CODE: Final = {
    "already-exists": errno.EEXIST,
    "not-found": errno.ENOENT,
    "not-regular": errno.EISDIR,
    "access-denied": errno.EACCES,
    "read-only": errno.EACCES,
    "invalid-name": errno.EINVAL,
    "no-space": errno.ENOSPC,
    "staging-full": errno.ENOSPC,
    "too-large": errno.EFBIG,
    "unsupported": errno.EOPNOTSUPP,
}
_BY_KIND: Final[tuple[tuple[type[GatewayError], int], ...]] = (
    (NotFound, errno.ENOENT),
    (AccessRefused, errno.EACCES),
    (InvalidAddress, errno.EINVAL),
    (NotConfigured, errno.EACCES),
    (InvalidLocation, errno.EINVAL),
    (GatewayUnreachable, errno.EHOSTUNREACH),
    (WaitTimeout, errno.ETIMEDOUT),
    (LocalFileError, errno.EIO),
)


@contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """What goes wrong inside is raised as ``OSError``; Python makes the fitting subclass from its number (PEP 3151)."""
    try:
        yield
    except GatewayError as error:
        raise os_error(error, path) from error


def os_error(error: GatewayError, path: str) -> OSError:
    """The ``OSError`` that says the same, with what to do next."""
    if isinstance(error, RequestRefused) and error.code in ("precondition-failed", "source-changed"):
        return FileChanged(path)
    return OSError(_number(error), str(error).rstrip("."), path)


def raises_os_errors(method: F) -> F:
    """For methods whose first argument is a path, or many."""

    @functools.wraps(method)
    def translating(self: object, path: Any, *arguments: Any, **options: Any) -> Any:
        with as_os_errors(str(path)):
            return method(self, path, *arguments, **options)

    return cast(F, translating)


def _number(error: GatewayError) -> int:
    if isinstance(error, TransferFailed):
        codes = [file.cause.code for file in error.files if file.cause]
        return _BY_CODE.get(codes[0], errno.EIO) if codes else errno.EIO
    if isinstance(error, RequestRefused) and error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((number for kind, number in _BY_KIND if isinstance(error, kind)), errno.EIO)
