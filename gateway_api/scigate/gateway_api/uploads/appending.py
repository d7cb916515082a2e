"""Whether a request may append to an upload: what it says, held against what is recorded. Pure."""

from __future__ import annotations

from ..problems import Problem
from .digesting import KEPT
from .model import Append, Kind, UploadStatus


class OffsetMismatch(Problem):
    """The request does not begin where the upload ends; ``upload`` says where that is."""

    def __init__(self, upload: UploadStatus, provided: int) -> None:
        super().__init__(
            409, "offset-mismatch", "The offset is not the one of the upload.",
            detail=f"The upload has {upload.offset} bytes, the request begins at {provided}.",
            next_step="Ask for the offset (HEAD), and go on from there.",
        )  # fmt: skip
        self.upload, self.provided = upload, provided


def check(upload: UploadStatus, request: Append, at_once: int | None = None) -> None:
    """Raise the ``Problem`` of a request that does not fit the upload; before its body is read. ``at_once``: so many
    bytes at most may come under one checksum."""
    if upload.kind is Kind.FINAL:
        raise Problem(403, "upload-final", "An upload that is made of others takes no bytes of its own.",
                      next_step="Send the bytes to its parts, before they are put together.")  # fmt: skip
    if request.offset != upload.offset:
        raise OffsetMismatch(upload, request.offset)
    if upload.complete and (request.ends is not None or request.size):
        raise Problem(400 if request.ends is not None else 413, "completed-upload", "The upload is complete already.",
                      next_step="Nothing is left to send.")  # fmt: skip
    _check_length(upload, request)
    if at_once is not None and request.checksum is not None and (request.size or 0) > at_once:
        raise too_much_at_once(at_once)


def check_digests(request: Append) -> None:
    """Of an upload whose bytes move on before all are here no digest can be taken that was not asked for at its start;
    but one is kept of every upload."""
    if request.whole.keys() - {KEPT}:
        raise Problem(422, "invalid-digest", f"Of this upload only {KEPT} can be compared at its end.",
                      detail="Its bytes move on to their storage while the rest is still coming.",
                      next_step=f"Send Repr-Digest with {KEPT}, or with any when you create the upload.")  # fmt: skip


def longest(upload: UploadStatus, request: Append) -> int:
    """Where the upload ends at the latest."""
    if upload.length is not None:
        return upload.length
    return upload.largest if request.length is None else request.length


def too_long(length: int) -> Problem:
    """More bytes than were announced, or than can be taken."""
    return Problem(413, "upload-too-long", f"The body goes beyond the {length} bytes that the upload may have.",
                   next_step="Send only what is missing.")  # fmt: skip


def too_much_at_once(count: int) -> Problem:
    """More bytes under one checksum than there can ever be room for: none of them moves on before it is compared."""
    return Problem(413, "request-too-large", f"A request with a checksum may bring at most {count} bytes here.",
                   detail="The upload is longer than the room for uploads: what comes has to move on meanwhile.",
                   next_step=f"Send smaller requests, of {count} bytes at most, or without a checksum.")  # fmt: skip


def too_large(length: int, largest: int) -> Problem:
    """An upload that can never fit."""
    return Problem(413, "too-large", f"An upload of {length} bytes is more than this gateway takes: {largest} bytes.",
                   next_step="Ask an admin to raise limits.staging_quota, or bring it by another way.")  # fmt: skip


def _check_length(upload: UploadStatus, request: Append) -> None:
    said = request.length
    if said is not None and upload.length is not None and said != upload.length:
        raise _contradiction(f"The upload was announced with {upload.length} bytes, now it is said to have {said}.")
    if said is not None and said < upload.offset:
        raise _contradiction(f"The upload has {upload.offset} bytes already, more than the {said} that are said.")
    if said is not None and said > upload.largest:
        raise too_large(said, upload.largest)
    length, size = longest(upload, request), request.size
    if size is None:
        return
    if request.offset + size > length:
        raise too_long(length)
    whole = upload.length if said is None else said
    if request.ends and whole is not None and request.offset + size != whole:
        raise _contradiction(f"The upload has {whole} bytes, but the request ends it at {request.offset + size}.")


def _contradiction(detail: str) -> Problem:
    return Problem(400, "inconsistent-upload-length", "The lengths of the upload contradict each other.", detail=detail,
                   next_step="Send the length of the whole file, the same each time.")  # fmt: skip
