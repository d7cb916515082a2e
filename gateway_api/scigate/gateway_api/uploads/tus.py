"""The rules of tus 1.0.0 and its extensions: headers in, what is asked or a ``Problem`` out; headers out. Pure.

Core, creation, creation-with-upload, creation-defer-length, checksum, expiration, termination and concatenation of
https://tus.io/protocols/resumable-upload. ``size`` is always the length of the request's body in bytes: 0 without one,
None when it is not announced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from ..problems import Problem
from .digests import promised
from .metadata import Wishes, base64_bytes, check_coding, describe, read, required, unreadable
from .model import Append, Creation, Kind, NewUpload, UploadStatus

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    "creation", "creation-with-upload", "creation-defer-length", "checksum", "expiration", "termination",
    "concatenation",
)  # fmt: skip
CHECKSUMS: Final = {"sha1": 20, "sha256": 32, "sha512": 64, "md5": 16, "crc32": 4, "crc64nvme": 8}
"""Algorithms of ``Upload-Checksum`` and the bytes of their digests."""
MEDIA_TYPE: Final = "application/offset+octet-stream"
PARTS_MAX: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_UPLOAD: Final = re.compile(r"(?:https?://[^/?#\s]+)?(?:/[^?#\s]*)?/api/v1/uploads/([0-9A-Za-z_-]{1,64})")
Url = Callable[[str], str]
"""Upload id → its URL path."""


def speaks(headers: Mapping[str, str]) -> bool:
    """Whether a request is of this protocol."""
    return "Tus-Resumable" in headers


def check_version(headers: Mapping[str, str]) -> None:
    """``Problem`` 412 for any other version than ours; the answer has to tell ``Tus-Version``."""
    if headers.get("Tus-Resumable") != VERSION:
        raise Problem(
            412, "unsupported-version", f"This gateway speaks tus {VERSION}.",
            next_step=f"Send 'Tus-Resumable: {VERSION}'.",
        )  # fmt: skip


def creation(headers: Mapping[str, str], query: Wishes, size: int | None, key: str | None = None) -> Creation:
    """A ``POST`` that creates an upload, perhaps with its first bytes. ``Problem`` 400, 413, 415, 422 or 431."""
    kind, parts = _concatenation(headers.get("Upload-Concat"))
    length = _announced(headers, kind)
    raw = headers.get("Upload-Metadata")
    file = describe(read(raw), query)
    new = NewUpload(
        kind=kind, length=length, destination=None if kind is Kind.PARTIAL else required(file.destination),
        overwrite=file.overwrite, label=file.label, name=file.name, modified=file.modified, digests=file.digests,
        metadata=raw, parts=parts, key=key, not_before=file.not_before, deadline=file.deadline,
    )  # fmt: skip
    if size == 0:
        return Creation(new, None)
    if kind is Kind.FINAL:
        raise unreadable("An upload that is made of others takes no bytes of its own.")
    return Creation(new, _first(headers, size, length))


def append(headers: Mapping[str, str], size: int | None) -> Append:
    """A ``PATCH``. ``Problem`` 400 or 415."""
    _check_media_type(headers)
    if "Upload-Offset" not in headers:
        raise unreadable("The header Upload-Offset is missing.")
    length = number(headers, "Upload-Length") if "Upload-Length" in headers else None
    whole = promised(headers.get("Repr-Digest"))
    return Append(number(headers, "Upload-Offset"), size, length, None, _checksum(headers), whole)


def discovery(largest: int) -> dict[str, str]:
    """Headers of the answer to ``OPTIONS``; ``largest`` is the longest upload in bytes."""
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(largest),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }


def progress(status: UploadStatus) -> dict[str, str]:
    """Headers of the answer to ``POST`` and ``PATCH``: how far it is, until when it may go on."""
    headers = {"Upload-Offset": str(status.offset)}
    if status.expires is not None and not status.complete:
        headers["Upload-Expires"] = http_date(status.expires)
    return headers


def description(status: UploadStatus, url: Url) -> dict[str, str]:
    """Headers of the answer to ``HEAD``."""
    headers = progress(status)
    if status.kind is Kind.FINAL and not status.complete:
        del headers["Upload-Offset"]  # tus 1.0, concatenation: a final upload has none before it is put together
    if status.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(status.length)
    if status.metadata:
        headers["Upload-Metadata"] = status.metadata
    if status.kind is Kind.PARTIAL:
        headers["Upload-Concat"] = "partial"
    elif status.kind is Kind.FINAL:
        headers["Upload-Concat"] = "final;" + " ".join(map(url, status.parts))
    return headers


def number(headers: Mapping[str, str], name: str) -> int:
    """A header as a whole number below 2⁶³; ``Problem`` 400 for anything else."""
    text = headers[name]
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise unreadable(f"The header {name} has to be a whole number, not negative and below 2^63.")
    return int(text)


def http_date(moment: datetime) -> str:
    """As RFC 9110 §5.6.7 has it."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def check_fits(size: int | None, offset: int, length: int | None) -> None:
    """``Problem`` 413 if a body of ``size`` bytes goes beyond the announced ``length``."""
    if size is not None and length is not None and offset + size > length:
        raise Problem(
            413, "upload-too-long", f"The body is longer than the upload: {offset} + {size} bytes of {length}.",
            next_step="Send only what is missing.",
        )  # fmt: skip


def _concatenation(header: str | None) -> tuple[Kind, tuple[str, ...]]:
    if header is None:
        return Kind.WHOLE, ()
    if header.strip() == "partial":
        return Kind.PARTIAL, ()
    word, semicolon, urls = header.partition(";")
    parts = tuple(map(_part, urls.split()))
    if word.strip() != "final" or not semicolon or not 1 <= len(parts) <= PARTS_MAX:
        raise unreadable(f"Upload-Concat is 'partial', or 'final;' with the URLs of 1 to {PARTS_MAX} uploads.")
    return Kind.FINAL, parts


def _part(url: str) -> str:
    found = _UPLOAD.fullmatch(url)
    if found is None:
        raise unreadable("Upload-Concat names something that is not the URL of an upload here.")
    return found[1]


def _announced(headers: Mapping[str, str], kind: Kind) -> int | None:
    """``Upload-Length``, or None where it is deferred; of an upload that is made of others it follows from them."""
    given, deferred = "Upload-Length" in headers, headers.get("Upload-Defer-Length")
    if kind is Kind.FINAL:
        if given or deferred is not None:
            raise unreadable("The length of an upload that is made of others follows from them; do not send it.")
        return None
    if deferred not in (None, "1") or given == (deferred is not None):
        raise unreadable("Send either Upload-Length, or 'Upload-Defer-Length: 1' when it is not known yet.")
    return number(headers, "Upload-Length") if given else None


def _first(headers: Mapping[str, str], size: int | None, length: int | None) -> Append:
    _check_media_type(headers)
    check_fits(size, 0, length)
    return Append(0, size, None, None, _checksum(headers))


def _checksum(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    if "Upload-Checksum" not in headers:
        return None
    algorithm, _, value = headers["Upload-Checksum"].strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise unreadable("Upload-Checksum names an unknown algorithm.", f"Use one of {', '.join(CHECKSUMS)}.")
    digest = base64_bytes(value.strip(), "Upload-Checksum")
    if len(digest) != CHECKSUMS[algorithm]:
        raise unreadable(f"Upload-Checksum: a digest of {algorithm} has {CHECKSUMS[algorithm]} bytes.")
    return algorithm, digest


def _check_media_type(headers: Mapping[str, str]) -> None:
    check_coding(headers)
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Problem(
            415, "unsupported-media-type", "The bytes of an upload have a media type of their own.",
            next_step=f"Send them with 'Content-Type: {MEDIA_TYPE}'.",
        )  # fmt: skip
