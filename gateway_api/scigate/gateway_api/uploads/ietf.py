"""The rules of Resumable Uploads for HTTP: headers in, what is asked or a ``Problem`` out; headers out. Pure.

draft-ietf-httpbis-resumable-upload-12, interop version 8. Its headers are structured fields (RFC 9651): one that is
not of its type is ignored, as the draft has it. ``size`` is the length of the request's body in bytes: 0 without one,
None when it is not announced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.message import Message
from typing import Final

from ..problems import Problem
from .appending import OffsetMismatch
from .digests import promised
from .metadata import Described, Wishes, check_coding, describe, read, required, unreadable
from .model import Append, Creation, NewUpload, UploadStatus
from .tus import CHECKSUMS, check_fits

INTEROP: Final = "8"
MEDIA_TYPE: Final = "application/partial-upload"
TYPES: Final = "https://iana.org/assignments/http-problem-types#"
_PARAMETERS: Final = r"(?: *;[ !-+\--~]*)?"
_INTEGER: Final = re.compile(rf"([0-9]{{1,15}}){_PARAMETERS}")
_BOOLEAN: Final = re.compile(rf"\?([01]){_PARAMETERS}")
_CONTENT_DIGESTS: Final = {"sha-512": "sha512", "sha-256": "sha256", "crc64nvme": "crc64nvme", "md5": "md5"}
"""Algorithms of RFC 9530 and their names in tus, the strongest first."""


def speaks(headers: Mapping[str, str]) -> bool:
    """Whether a request is of this protocol."""
    return (
        complete(headers) is not None or "Upload-Draft-Interop-Version" in headers or _media_type(headers) == MEDIA_TYPE
    )


def wants_interim(headers: Mapping[str, str]) -> bool:
    """Whether a 104 may be sent: only to a client of our interop version."""
    return headers.get("Upload-Draft-Interop-Version", "").strip() == INTEROP


def complete(headers: Mapping[str, str]) -> bool | None:
    """``Upload-Complete``; None if it is not there or not a boolean."""
    found = _BOOLEAN.fullmatch(headers.get("Upload-Complete", "").strip(" "))
    return None if found is None else found[1] == "1"


def creation(headers: Mapping[str, str], query: Wishes, size: int | None, key: str | None = None) -> Creation:
    """A ``POST`` that creates an upload, perhaps with its first or all bytes. ``Problem`` 400, 413, 415 or 422."""
    ends = complete(headers)
    if ends is None:
        raise unreadable("The header Upload-Complete (?0 or ?1) is missing.")
    check_coding(headers)
    length = _length(headers, 0, size, ends=ends)
    check_fits(size, 0, length)
    raw = headers.get("Upload-Metadata")
    file = describe(read(raw), query, name=_file_name(headers.get("Content-Disposition")))
    new = _new_upload(file, length, raw, {**file.digests, **promised(headers.get("Repr-Digest"))}, key)
    nothing = size == 0 and not ends
    return Creation(new, None if nothing else Append(0, size, length, ends, _checksum(headers)))


def append(headers: Mapping[str, str], size: int | None) -> Append:
    """A ``PATCH``. ``Problem`` 400 or 415."""
    if _media_type(headers) != MEDIA_TYPE:
        raise Problem(
            415, "unsupported-media-type", "The bytes of an upload have a media type of their own.",
            next_step=f"Send them with 'Content-Type: {MEDIA_TYPE}' (tus: application/offset+octet-stream).",
        )  # fmt: skip
    check_coding(headers)
    offset, ends = _integer(headers, "Upload-Offset"), complete(headers)
    if offset is None or ends is None:
        raise unreadable("The headers Upload-Offset (a number) and Upload-Complete (?0 or ?1) are both needed.")
    whole = promised(headers.get("Repr-Digest"))
    return Append(offset, size, _length(headers, offset, size, ends=ends), ends, _checksum(headers), whole)


def limits(largest: int, expires: datetime | None = None, now: datetime | None = None) -> dict[str, str]:
    """``Upload-Limit``: the longest upload in bytes, and how many seconds are left of this one."""
    age = f", max-age={max(0, int((expires - now).total_seconds()))}" if expires and now else ""
    return {"Upload-Limit": f"max-size={largest}{age}"}


def progress(status: UploadStatus, now: datetime) -> dict[str, str]:
    """Headers of the answer to ``POST`` and ``PATCH``."""
    return {
        "Upload-Complete": "?1" if status.complete else "?0",
        "Upload-Offset": str(status.offset),
        **limits(status.largest, None if status.complete else status.expires, now),
    }


def description(status: UploadStatus, now: datetime) -> dict[str, str]:
    """Headers of the answer to ``HEAD``."""
    length = {} if status.length is None else {"Upload-Length": str(status.length)}
    return {**progress(status, now), **length}


def as_problem(problem: Problem) -> Problem:
    """The draft's own types for what it has types for; 422 for what is 460 in tus. Others stay as they are."""
    if isinstance(problem, OffsetMismatch):
        return Problem(
            409, "mismatching-upload-offset", problem.title, type_root=TYPES, detail=problem.detail,
            next_step="Go on at 'expected-offset'.",
            members={"expected-offset": problem.upload.offset, "provided-offset": problem.provided},
        )  # fmt: skip
    if problem.code == "inconsistent-upload-length":
        return inconsistent_length(problem.detail)
    if problem.status == 460:
        return Problem(422, problem.code, problem.title, detail=problem.detail, next_step=problem.next_step,
                       retriable=problem.retriable)  # fmt: skip
    return problem


def inconsistent_length(detail: str) -> Problem:
    """The draft's own problem type for lengths that contradict each other."""
    return Problem(
        400, "inconsistent-upload-length", "The lengths of the upload contradict each other.", type_root=TYPES,
        detail=detail, next_step="Send the length of the whole file in Upload-Length, the same each time.",
    )  # fmt: skip


def _new_upload(
    file: Described, length: int | None, metadata: str | None, digests: dict[str, str], key: str | None
) -> NewUpload:
    return NewUpload(
        length=length, destination=required(file.destination), overwrite=file.overwrite, label=file.label,
        name=file.name, modified=file.modified, digests=digests, metadata=metadata, key=key,
        not_before=file.not_before, deadline=file.deadline,
    )  # fmt: skip


def _length(headers: Mapping[str, str], offset: int, size: int | None, *, ends: bool) -> int | None:
    """The length of the whole as this request says it, by header or by being the end of it."""
    said = _integer(headers, "Upload-Length")
    implied = offset + size if ends and size is not None else None
    if said is not None and implied is not None and said != implied:
        raise inconsistent_length(f"Upload-Length is {said}, but the request ends at {implied}.")
    return implied if said is None else said


def _integer(headers: Mapping[str, str], name: str) -> int | None:
    found = _INTEGER.fullmatch(headers.get(name, "").strip(" "))
    return None if found is None else int(found[1])


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _checksum(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    """``Content-Digest`` (RFC 9530 §2): of this request's bytes; algorithms that are not ours are left out there."""
    if "Content-Digest" not in headers:
        return None
    found = promised(headers["Content-Digest"])
    for name, algorithm in _CONTENT_DIGESTS.items():
        if name in found:
            digest = bytes.fromhex(found[name])
            if len(digest) != CHECKSUMS[algorithm]:
                raise unreadable(f"Content-Digest: a digest of {name} has {CHECKSUMS[algorithm]} bytes.")
            return algorithm, digest
    return None


def _file_name(disposition: str | None) -> str | None:
    """The file name of a ``Content-Disposition`` (RFC 6266, RFC 8187)."""
    if disposition is None:
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename() or None
