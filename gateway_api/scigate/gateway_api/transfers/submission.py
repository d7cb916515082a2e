"""A request to move files, read and checked: what is stored is only what can be tried. No I/O but the checks given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from scigate.storage_backends.errors import InvalidName, Permanent
from scigate.storage_backends.location import Location, Source, Url, parse, parse_source

from ..problems import Problem
from ..resources import FileRequest, Request, TransferRequest
from .times import KEEPS_TRYING, Times, agree


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its destination; both are folders, or neither is."""

    source: Source
    destination: Location
    size: int | None = None
    """In bytes, if it is known; of an upload."""
    waits_until: float | None = None
    """Of an upload that is still received: when it is given up, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is stored of a request."""

    request: TransferRequest
    pairs: Sequence[Pair]
    times: Times

    @property
    def deadline(self) -> datetime:
        return self.times.deadline


def read(
    request: TransferRequest,
    *,
    may_read: Callable[[str], None],
    may_write: Callable[[str], None],
    check_url: Callable[[str], None],
    now: datetime | None = None,
    staged: str | None = None,
    keeps_trying: timedelta = KEEPS_TRYING,
) -> Submission:
    """Check a request and resolve its names.

    ``may_read`` and ``may_write`` get the name of a storage and raise a ``Permanent`` error for one that may not be
    used so; ``check_url`` likewise for outside URLs. ``staged`` is the gateway's own storage that this request may
    read (users may never name it). ``keeps_trying`` is for those that name no deadline. Raises ``Problem`` 422 that
    lists every pair that is wrong.
    """
    now = now or datetime.now(UTC)
    errors: list[dict[str, str]] = []
    pairs: list[Pair] = []
    for index, wanted in enumerate(request.files):
        try:
            pairs.append(pair(wanted, may_read, may_write, check_url, staged))
        except Permanent as error:
            errors.append({"pointer": f"/files/{index}", "message": error.message, "next_step": error.next_step})
    errors += _twins(pairs) if not errors else []
    times, wrong = agree(request.not_before, request.deadline, now, keeps_trying)
    if errors or wrong:
        raise refused(errors + wrong)
    return Submission(request, pairs, times)


def of_manifest(request: TransferRequest, listed: Pair, keeps_trying: timedelta = KEEPS_TRYING) -> Submission:
    """The same of files that have been checked one by one. Raises ``Problem`` 422."""
    times, wrong = agree(request.not_before, request.deadline, datetime.now(UTC), keeps_trying)
    if wrong:
        raise refused(wrong)
    return Submission(request, [listed], times)


def refused(errors: list[dict[str, str]]) -> Problem:
    """What is said of a request with these ``errors``."""
    return Problem(422, "invalid-transfer", "The transfer cannot be accepted.", detail=errors[0]["message"],
                   next_step=errors[0].get("next_step", "Correct the request."), errors=errors)  # fmt: skip


def fingerprint(request: TransferRequest) -> str:
    """The same for the same request, and only for it: an Idempotency-Key belongs to one request."""
    text = json.dumps(said(request), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def said(request: Request, later: Iterable[str] = ("not_before",)) -> dict[str, Any]:
    """What a request says, for its fingerprint. ``later`` are fields that came to requests after keys of theirs had
    been remembered: the fingerprint of one that says nothing of them stays what it was."""
    return request.model_dump(mode="python", exclude={name for name in later if getattr(request, name) is None})


def pair(
    wanted: FileRequest,
    may_read: Callable[[str], None],
    may_write: Callable[[str], None],
    check_url: Callable[[str], None],
    staged: str | None = None,
) -> Pair:
    """One of them, checked as ``read`` does. Raises ``Permanent``."""
    source = parse_source(wanted.source)
    destination = parse(wanted.destination)
    if isinstance(source, Url):
        check_url(source.value)
    elif source.storage != staged:
        may_read(source.storage)
    may_write(destination.storage)
    return Pair(source, _destination(source, destination))


def _destination(source: Source, destination: Location) -> Location:
    if source.is_folder and not destination.is_folder:
        raise InvalidName(
            f"the source {source} is a folder, but the destination {destination} is not",
            next_step="End the destination with '/': the content of the folder goes below it.",
        )
    if destination.is_folder and not source.is_folder:
        destination = Location(destination.storage, destination.path + _name_of(source))
    _refuse_overlap(source, destination)
    return destination


def _refuse_overlap(source: Source, destination: Location) -> None:
    if isinstance(source, Url) or source.storage != destination.storage:
        return
    if source.path == destination.path:
        raise InvalidName(f"source and destination are the same: {source}")
    if source.is_folder and destination.path.startswith(source.path):
        raise InvalidName(f"the destination {destination} lies inside the source {source}")


def _name_of(source: Source) -> str:
    path = unquote(urlsplit(source.value).path) if isinstance(source, Url) else source.path
    name = path.rsplit("/", 1)[-1]
    if name in ("", ".", "..") or "\0" in name:
        raise InvalidName(
            f"{source} does not end in a file name", next_step="Name the file in the destination as well."
        )
    return name


def _twins(pairs: Sequence[Pair]) -> list[dict[str, str]]:
    seen: set[Location] = set()
    errors = []
    for index, each in enumerate(pairs):
        if each.destination in seen and not each.source.is_folder:
            message = f"two files would have the same destination {each.destination}"
            errors.append({"pointer": f"/files/{index}/destination", "message": message,
                           "next_step": "Name another destination for one of them."})  # fmt: skip
        seen.add(each.destination)
    return errors
