"""What a sender says about its file: ``Upload-Metadata`` of tus, or the query string of who cannot send that. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import Field, ValidationError
from scigate.storage_backends.errors import InvalidName
from scigate.storage_backends.location import Location, join, parse

from ..problems import Problem
from ..resources import Label, Moment, Overwrite, PathText, Request
from ..validation import words
from .digests import promised

LONGEST: Final = 8 << 10  # bytes of the header
KEYS_MAX: Final = 64
_KEY: Final = re.compile(r"[!-+\--~]{1,255}")  # visible ASCII without the comma
_NOTHING: Final = frozenset({"", "null", "undefined"})  # what JavaScript sends for a value that is not set


class Wishes(Request):
    """Where an upload is to go, and how. The same names in metadata and in the query string."""

    destination: PathText | None = Field(
        default=None, description="storage:/path; a folder (trailing slash) keeps the name of the file"
    )
    overwrite: Overwrite = Overwrite.FAIL
    modified: Moment | None = Field(
        default=None, description="when the file was changed, which 'newer' compares; default: now"
    )
    label: Label = Field(default=None, description="for people, e.g. the name of the file")
    not_before: Moment | None = Field(default=None, description="deliver it then; default: at once")
    deadline: Moment | None = Field(
        default=None, description="delivery is tried until then; default 7 days from when all is received"
    )


@dataclass(frozen=True, slots=True)
class Described:
    """The file of an upload as its sender describes it; ``destination`` is None if it says nothing of it."""

    destination: str | None
    name: str | None
    overwrite: Overwrite
    label: str | None
    modified: datetime | None
    digests: Mapping[str, str]
    not_before: datetime | None = None
    deadline: datetime | None = None


def check_coding(headers: Mapping[str, str]) -> None:
    """``Problem`` 415 for a body in a coding: what is stored is what was sent, and nobody would know of it."""
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(
            415, "unsupported-media-type", "The body has a Content-Encoding, which would be lost.",
            next_step="Send the bytes of the file as they are.",
        )  # fmt: skip


def read(header: str | None) -> dict[str, str]:
    """The pairs of ``Upload-Metadata`` (tus 1.0, creation): keys with base64 values, bytes that are not UTF-8 escaped.

    ``Problem`` 431 for a header over ``LONGEST``, 400 for one that breaks the rules.
    """
    if not header:
        return {}
    if len(header) > LONGEST:
        raise Problem(
            431, "metadata-too-large", f"Upload-Metadata is longer than {LONGEST} bytes.",
            next_step="Leave keys out; only destination, filename, overwrite, label, modified, digest, not_before and "
            "deadline are read.",
        )  # fmt: skip
    pairs = [_pair(pair) for pair in header.split(",", KEYS_MAX)]
    found = dict(pairs)
    if len(pairs) > KEYS_MAX or len(found) < len(pairs):
        raise unreadable(f"Upload-Metadata has more than {KEYS_MAX} keys, or one of them twice.")
    return found


def describe(metadata: Mapping[str, str], query: Wishes, *, name: str | None = None) -> Described:
    """The file, from metadata and, where they are silent, the query string; ``name`` is what else gives its name.

    Errors: ``Problem`` 422 with the names of what cannot be used, ``InvalidName`` for a destination that is none.
    """
    given = {key: metadata[key] for key in Wishes.model_fields if key in metadata}
    wishes = _validated({**query.model_dump(exclude_unset=True, include=set(Wishes.model_fields)), **given})
    name = _said(metadata, "filename") or _said(metadata, "name") or name
    name = None if name is None else _checked(name.rpartition("/")[2])
    below = _said(metadata, "relativePath")
    location = None if wishes.destination is None else _file(wishes.destination, below or name)
    return Described(
        destination=None if location is None else str(location),
        name=name or (location.path.rpartition("/")[2] if location else None),
        overwrite=wishes.overwrite,
        label=wishes.label,
        modified=wishes.modified,
        digests=promised(_said(metadata, "digest")),
        not_before=wishes.not_before,
        deadline=wishes.deadline,
    )


def required(destination: str | None) -> str:
    """``destination``; a ``Problem`` 422 if it was not said."""
    if destination is None:
        raise Problem(
            422, "no-destination", "It is not said where the upload is to go.",
            next_step="Send 'destination' (storage:/path) in Upload-Metadata, or as ?destination=… in the URL.",
        )  # fmt: skip
    return destination


def unreadable(detail: str, next_step: str = "Correct the request; see docs/reference/uploads.md.") -> Problem:
    """Headers that cannot be understood."""
    return Problem(400, "malformed", "The request cannot be read.", detail=detail, next_step=next_step)


def base64_bytes(text: str, what: str) -> bytes:
    """Base64 with its padding (RFC 4648 §4), nothing else; ``Problem`` 400 that names ``what``."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise unreadable(f"{what} is not base64.") from None


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.strip(" \t").partition(" ")
    if not _KEY.fullmatch(key):
        raise unreadable("Upload-Metadata is not a list of 'key base64' with commas between.")
    return key, base64_bytes(value.strip(" \t"), f"Upload-Metadata: the value of {key}").decode(
        "utf-8", "surrogateescape"
    )


def _said(metadata: Mapping[str, str], key: str) -> str | None:
    value = metadata.get(key, "")
    return None if value in _NOTHING else value


def _validated(values: dict[str, object]) -> Wishes:
    try:
        return Wishes.model_validate(values)
    except ValidationError as error:
        errors = [
            {"parameter": str(item["loc"][0]) if item["loc"] else "", "message": words(item)}
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Problem(
            422, "invalid", "The upload has metadata that cannot be used.",
            detail="; ".join(f"{one['parameter']}: {one['message']}" for one in errors),
            next_step="Correct what is listed in 'errors'; see docs/reference/uploads.md.", errors=errors,
        ) from None  # fmt: skip


def _file(destination: str, name: str | None) -> Location:
    """The file that is meant: a folder gets the sender's name of it, which stays below that folder."""
    location = parse(destination)
    if not location.is_folder:
        return location
    if name is None:
        raise InvalidName(
            f"{destination} is a folder, and the file has no name",
            next_step="Name the file in 'destination', or send its name as 'filename'.",
        )
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidName("the name of the file leads out of its folder, or is none; use names with '/' between")
    return parse(f"{location.storage}:/{join(location.path, name)}")


def _checked(name: str) -> str:
    if "\0" in name or not name:
        raise InvalidName("a file's name is not empty and has no NUL character")
    return name
