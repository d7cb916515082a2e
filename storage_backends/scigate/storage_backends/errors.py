"""What can go wrong at a storage, and what to do about it.

Every error says by its ``kind`` whether trying again helps, so that no caller ever parses a message.

    StorageError
    ├── Unreachable        transient   no connection, reset, stalled, 5xx
    ├── Throttled          throttled   the storage asked for less (503 SlowDown, 429)
    ├── CredentialRefused  credential  who we are is not accepted (401, expired, bad signature)
    ├── NoSpace            space       disk full, quota reached
    ├── Truncated          integrity   fewer or more bytes than promised
    ├── DigestMismatch     integrity   the right number of bytes, but not the right ones
    └── Permanent          permanent   trying the same again cannot help
        ├── NotFound, AlreadyExists, AccessDenied, InvalidName, NotRegular, TooLarge
        ├── SourceChanged  the source is not the version that was asked for
        ├── Fenced         a newer attempt has taken this draft over: stop, touch nothing
        ├── Unsupported    the storage cannot do this at all
        └── Misconfigured  the settings of the storage cannot work
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class ErrorKind(StrEnum):
    """How an error is answered; see the tree above."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    CREDENTIAL = "credential"
    SPACE = "space"
    INTEGRITY = "integrity"
    PERMANENT = "permanent"


class StorageError(Exception):
    """An operation at a storage failed.

    ``message`` is a sentence for people: what happened and to what, without any secret.
    ``path`` is the path concerned, when there is one; ``next_step`` tells what a person can do.
    """

    kind: ErrorKind = ErrorKind.TRANSIENT
    next_step: str = "Nothing to do: it is tried again by itself."
    storage: str | None = None
    """The name of the storage concerned; set by the gateway, a backend does not know its own."""

    def __init__(self, message: str, *, path: str | None = None, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        if next_step is not None:
            self.next_step = next_step

    @property
    def code(self) -> str:
        """The stable name of this error in the API and in the database, e.g. ``not-found``."""
        name = type(self).__name__
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


class Unreachable(StorageError):
    """The storage did not answer, broke off, stalled, or failed inside (5xx)."""


class Throttled(StorageError):
    """The storage asked us to slow down; ``retry_after`` is its own wish, if it said one."""

    kind = ErrorKind.THROTTLED

    def __init__(self, message: str, *, path: str | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(message, path=path)
        self.retry_after = retry_after
        self.untouched = False
        """Whether ``put`` or ``draft``, which raised it, has left nothing at the storage, now or later."""


class CredentialRefused(StorageError):
    """The storage does not accept who we say we are."""

    kind = ErrorKind.CREDENTIAL
    next_step = "Renew the credential of this storage, then resume."


class NoSpace(StorageError):
    """The storage is full or a quota is reached."""

    kind = ErrorKind.SPACE
    next_step = "Free space at the storage or raise its quota; the transfer goes on by itself."


class Truncated(StorageError):
    """Data ended early, or did not end where it should."""

    kind = ErrorKind.INTEGRITY


class DigestMismatch(StorageError):
    """What arrived or is stored differs from what was sent."""

    kind = ErrorKind.INTEGRITY


class Permanent(StorageError):
    """Trying the same again cannot help."""

    kind = ErrorKind.PERMANENT
    next_step = "Correct the request and submit it again."


class NotFound(Permanent):
    """There is nothing at this path."""

    next_step = "Check the path; list the folder above it."


class AlreadyExists(Permanent):
    """Something is at this path already, and the policy is not to replace it."""

    next_step = "Choose another name, or overwrite, newer or skip-same."


class AccessDenied(Permanent):
    """We are known, but not allowed to do this."""

    next_step = "Ask the owner of the storage for the right to do this."


class InvalidName(Permanent):
    """This storage cannot hold a file of this name; the message names the rule."""

    next_step = "Choose another name."


class NotRegular(Permanent):
    """A folder, link, pipe, socket or device where a regular file is needed."""

    next_step = "Name a regular file, or a folder with a trailing '/'."


class TooLarge(Permanent):
    """The object is larger than this storage can hold in one piece."""

    next_step = "Choose another destination or split the file."


class SourceChanged(Permanent):
    """The source is no longer the version that this attempt began with."""

    next_step = "Submit again when nobody writes to the source."


class Fenced(Permanent):
    """A newer attempt has taken over; this one must stop and change nothing."""

    next_step = "Nothing to do: the newer attempt goes on."


class Unsupported(Permanent):
    """The storage has no such operation."""

    next_step = "Use another storage or another way."


class Misconfigured(Permanent):
    """The settings of this storage cannot work; the message says which and why."""

    next_step = "Correct scigate.toml and run 'scigate doctor'."
