"""Exit codes: what a script can rely on."""

from __future__ import annotations

from enum import IntEnum

from ..client import (
    AccessRefused,
    DataDamaged,
    FilesNotFetched,
    FilesNotSent,
    GatewayError,
    GatewayUnreachable,
    InvalidAddress,
    InvalidArgument,
    InvalidLocation,
    LocalFileError,
    NotConfigured,
    NotFound,
    RequestRefused,
    TransferCancelled,
    TransferFailed,
    WaitTimeout,
)


class Exit(IntEnum):
    """How a command ended; the docstrings are the documentation."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_ACCESS = 4
    UNREACHABLE = 5
    INTERRUPTED = 6
    REFUSED = 7
    LOCAL = 8
    TIMEOUT = 9
    BUG = 70


MEANING = {
    Exit.OK: "done",
    Exit.FAILED: "a transfer failed, or 'doctor' or 'conformance' found something wrong",
    Exit.USAGE: "the command line, $SCIGATE_URL or scigate.toml is wrong",
    Exit.NOT_FOUND: "the gateway knows no such file, folder, storage or transfer, or it is somebody else's",
    Exit.NO_ACCESS: "the token is missing or not accepted, or its user may not do this",
    Exit.UNREACHABLE: "the gateway does not answer",
    Exit.INTERRUPTED: "interrupted (Ctrl-C), or the transfer was cancelled",
    Exit.REFUSED: "the gateway refused the request or could not serve it; the message says why",
    Exit.LOCAL: "a file of this machine is missing or cannot be read or written, or what arrived is damaged",
    Exit.TIMEOUT: "the time to wait was over; the transfer goes on",
    Exit.BUG: "a bug in scigate; please report it with the output of --debug",
}

_BY_ERROR: tuple[tuple[type[GatewayError], Exit], ...] = (
    (TransferCancelled, Exit.INTERRUPTED),
    (TransferFailed, Exit.FAILED),
    (FilesNotSent, Exit.FAILED),
    (FilesNotFetched, Exit.FAILED),
    (WaitTimeout, Exit.TIMEOUT),
    (NotFound, Exit.NOT_FOUND),
    (AccessRefused, Exit.NO_ACCESS),
    (InvalidAddress, Exit.USAGE),
    (NotConfigured, Exit.NO_ACCESS),
    (GatewayUnreachable, Exit.UNREACHABLE),
    (RequestRefused, Exit.REFUSED),
    (InvalidLocation, Exit.USAGE),
    (InvalidArgument, Exit.USAGE),
    (LocalFileError, Exit.LOCAL),
    (DataDamaged, Exit.LOCAL),
)


def exit_for(error: GatewayError) -> Exit:
    """The exit code of an error of the client."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.FAILED)
