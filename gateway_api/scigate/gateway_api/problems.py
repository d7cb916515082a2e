"""Every error the API can answer, as RFC 9457 problem details.

A use case raises a ``Problem``; the HTTP layer writes it. ``code`` is stable and ends the ``type`` URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from scigate.storage_backends.errors import ErrorKind, StorageError

from .resources import Cause

TYPE_ROOT: Final = "tag:scigate,2026:problem:"

_AGAIN: Final = "Try again in a moment; if it stays so, ask the administrators of the storage."
"""Of what a transfer would try again by itself: an answer is not."""

_STATUS: Final = {
    "not-found": 404,
    "already-exists": 409,
    "access-denied": 403,
    "invalid-name": 422,
    "not-regular": 422,
    "too-large": 413,
    "source-changed": 412,
    "unsupported": 422,
    "misconfigured": 503,
    "credential-refused": 502,
    "truncated": 502,
    "digest-mismatch": 502,
    "permanent": 409,
    "fenced": 409,
    "invalid-url": 422,
    "egress-refused": 422,
    "no-space": 507,
    "staging-full": 503,
    "throttled": 503,
    "unreachable": 503,
}


class Problem(Exception):
    """A request that cannot be served: what happened, to what, and what to do next."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str = "",
        next_step: str,
        retriable: bool = False,
        retry_after: timedelta | None = None,
        errors: list[dict[str, str]] | None = None,
        type_root: str = TYPE_ROOT,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.next_step = next_step
        self.retriable = retriable
        self.retry_after = retry_after
        self.errors = errors
        self.type = type_root + code
        self.members = members or {}

    def as_json(self, instance: str | None = None) -> dict[str, object]:
        """The members of RFC 9457 §3.1 and our extensions ``code``, ``retriable``, ``next_step``, ``errors``."""
        body: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
            "code": self.code,
            "retriable": self.retriable,
            "next_step": self.next_step,
        }
        if instance:
            body["instance"] = instance
        if self.errors:
            body["errors"] = self.errors
        return body | dict(self.members)


def not_found(what: str, name: str) -> Problem:
    """Also the answer for what exists but is somebody else's: existence is not told."""
    command = "ls" if what == "storage" else f"{what}s"
    advice = f"'scigate {command}' and GET /api/v1/{what}s show those that you can see."
    return Problem(404, "not-found", f"There is no {what} {name!r}.", next_step=advice)


def conflict(code: str, title: str, next_step: str) -> Problem:
    """The request does not fit the present state of the resource."""
    return Problem(409, code, title, next_step=next_step)


def from_storage(error: StorageError) -> Problem:
    """The problem for a storage's failure; it names the path, which the storage's own words may leave out."""
    named = error.path is None or error.path in error.message
    return Problem(
        _STATUS.get(error.code, 502),
        error.code,
        error.message,
        detail=error.message if named else f"{error.path}: {error.message}",
        next_step=_AGAIN if error.next_step == StorageError.next_step else error.next_step,
        retriable=error.kind in (ErrorKind.TRANSIENT, ErrorKind.THROTTLED, ErrorKind.SPACE),
        retry_after=getattr(error, "retry_after", None),
    )


def cause_of(error: StorageError) -> Cause:
    """The same for what is not an answer but a fact: why a file failed, why a storage is down."""
    problem = from_storage(error)
    return Cause(code=problem.code, message=problem.detail, retriable=problem.retriable, next_step=error.next_step)
