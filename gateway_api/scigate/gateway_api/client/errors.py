"""What the client raises; every one says what happened, to what, and what to do next.

GatewayError
├── NotConfigured           no token, or a token file that others can read
│   └── InvalidAddress      the gateway's address is no http(s) URL
├── InvalidLocation         neither storage:/path nor a URL
├── InvalidArgument         another argument that is out of its range
├── GatewayUnreachable      no answer, or one that is not from a gateway
├── RequestRefused          the gateway answered with a problem (RFC 9457)
│   ├── NotFound            404
│   ├── AccessRefused       401, 403
│   ├── Conflict            409, 412: it does not fit what is there now
│   ├── RequestInvalid      every other 4xx
│   └── GatewayFailed       5xx: the gateway or a storage behind it
├── LocalFileError          a file on this machine cannot be read or written
│   └── FileChanged         it was changed while it was being sent; nothing of it is delivered
├── DataDamaged             what arrived is not what the gateway said it would be
├── FilesNotFetched         files of a folder that did not arrive; all others did
├── FilesNotSent            files of a folder that the gateway did not get
└── TransferUnfinished      raised by ``wait``
    ├── TransferFailed
    ├── TransferCancelled
    └── WaitTimeout         it goes on; only the waiting has ended
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..resources import Transfer, TransferFile
from .advice import for_people
from .progress import printable

if TYPE_CHECKING:
    from .download import Download


SHOWN: Final = 10
"""Of many files that failed, so many are named in the text of an error."""


class GatewayError(Exception):
    """Something did not work. ``message`` says what, ``next_step`` what a person can do."""

    next_step = ""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step or self.next_step

    def __str__(self) -> str:
        return sentences([self.message, self.next_step])


class NotConfigured(GatewayError):
    """The client does not know whom to ask or how to prove who it is."""


class InvalidAddress(NotConfigured):
    """What should be the gateway's address is none."""


class InvalidLocation(GatewayError):
    """A text that is neither ``storage:/path`` nor a URL where one is needed."""


class InvalidArgument(GatewayError, ValueError):
    """An argument that no gateway would accept, e.g. an overwrite policy that does not exist."""


class GatewayUnreachable(GatewayError):
    """Nobody answered, or somebody who is not a gateway."""

    next_step = "Start it with 'scigate serve', or set SCIGATE_URL to its address; 'scigate doctor' looks closer."


class RequestRefused(GatewayError):
    """The gateway's answer was a problem; its members are the attributes (RFC 9457 §3.1 and ours)."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after: timedelta | None = None) -> None:
        title = str(problem.get("title") or f"The gateway answered with status {status}.")
        self.code = str(problem.get("code") or "")
        advice = for_people(self.code, str(problem.get("next_step") or ""))
        super().__init__(str(problem.get("detail") or title), next_step=advice)
        self.status = status
        self.type = str(problem.get("type") or "about:blank")
        self.title = title
        self.detail = self.message
        self.retriable = bool(problem.get("retriable"))
        self.retry_after = retry_after
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])

    def __str__(self) -> str:
        return sentences([self.message, *self.fields(), self.next_step])

    def fields(self) -> list[str]:
        """What is wrong with which field of the request, a line each."""
        wrong = [error for error in self.errors if str(error.get("message")).rstrip(".") not in self.message]
        return [f"{error.get('pointer') or error.get('parameter') or ''}: {error.get('message')}" for error in wrong]


class NotFound(RequestRefused):
    """There is no such thing, or it is somebody else's: the gateway does not tell which."""


class AccessRefused(RequestRefused):
    """The token is not accepted, or its user may not do this."""


class Conflict(RequestRefused):
    """The request does not fit what is there now, e.g. the destination exists."""


class RequestInvalid(RequestRefused):
    """The request cannot be understood; ``errors`` points at the fields."""


class GatewayFailed(RequestRefused):
    """The gateway, or a storage behind it, failed; ``retriable`` says whether asking again can help."""


class LocalFileError(GatewayError):
    """A file on this machine cannot be read or written."""


class FileChanged(LocalFileError):
    """A file was changed while it was being sent; nothing of it is delivered."""


class DataDamaged(GatewayError):
    """Size or digest of what arrived differ from what was sent; nothing was put in place."""

    next_step = "Get it again; if it happens twice, have the source checked."


class FilesNotFetched(GatewayError):
    """Some files of a folder did not arrive; ``failed`` says why, location → error. ``arrived`` are all others."""

    next_step = "Correct the reasons and get the folder again into another folder, or with overwrite=True."

    def __init__(self, failed: Mapping[str, GatewayError], arrived: Sequence[Download]) -> None:
        lines = first_of([printable(f"{location}: {error.message}") for location, error in failed.items()])
        count = f"{len(failed)} of {len(failed) + len(arrived)} files did not arrive."
        super().__init__("\n  ".join([count, *lines]))
        self.failed, self.arrived = dict(failed), list(arrived)


class FilesNotSent(GatewayError):
    """Some files of a folder were not sent; ``refused`` says why, path → reason. All others were delivered."""

    next_step = "Correct the reasons and put the folder again with overwrite='skip-same'."

    def __init__(self, refused: Mapping[str, str]) -> None:
        lines = first_of([printable(f"{path}: {reason}") for path, reason in refused.items()])
        super().__init__("\n  ".join([f"Not sent ({len(refused)}):", *lines]))
        self.refused = dict(refused)


class TransferUnfinished(GatewayError):
    """Base of what ``wait`` raises; ``transfer`` is its last known state."""

    def __init__(self, message: str, transfer: Transfer, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.transfer = transfer


class TransferFailed(TransferUnfinished):
    """At least one file failed; ``files`` are the first of them, each with its cause."""

    def __init__(self, transfer: Transfer, files: Sequence[TransferFile]) -> None:
        super().__init__(_failure(transfer, files), transfer, next_step=_next_steps(transfer, files))
        self.files = list(files)


class TransferCancelled(TransferUnfinished):
    """Somebody cancelled it; what was finished before stays."""

    next_step = "Submit it again if it is still wanted."


class WaitTimeout(TransferUnfinished):
    """The time to wait is over. The transfer itself goes on."""

    next_step = "Wait again, or look at it later by its id."


def first_of(lines: Sequence[str]) -> list[str]:
    """The first ten, and how many more there are."""
    more = [f"and {len(lines) - SHOWN} more."] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def sentences(parts: Sequence[str]) -> str:
    """One after the other, each with its full stop."""
    return " ".join(part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts if part)


def _failure(transfer: Transfer, files: Sequence[TransferFile]) -> str:
    head = f"Transfer {transfer.id} failed: {transfer.files.failed} of {transfer.files.total} files."
    lines = [printable(f"{file.source} → {file.destination}: {file.cause.message}") for file in files if file.cause]
    if lines and transfer.files.failed > len(lines):
        lines.append(f"and {transfer.files.failed - len(lines)} more: 'scigate show {transfer.id}' lists them all.")
    if not lines and transfer.cause:
        lines = [transfer.cause.message]
    return "\n  ".join([head, *lines])


def _next_steps(transfer: Transfer, files: Sequence[TransferFile]) -> str:
    """Each advice once; where there are several, with the files that it is for."""
    its_files: dict[str, list[str]] = {}
    for cause, source in [(file.cause, file.source) for file in files] or [(transfer.cause, "")]:
        if cause:
            its_files.setdefault(for_people(cause.code, cause.next_step), []).append(source)
    if len(its_files) == 1:
        return next(iter(its_files))
    return "\n".join(f"{printable(', '.join(names))}: {advice}" for advice, names in its_files.items())
