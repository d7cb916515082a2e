"""The multipart uploads of a strict S3 server: what is in them, and what may be completed.

Source: "Amazon S3 API Reference", CreateMultipartUpload, UploadPart and CompleteMultipartUpload.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

from ..backend import MiB
from ..errors import Unreachable
from ..s3_xml import parse
from .strict_s3_body import check_form, composite_of, promised_sums, sum_of, whole_of
from .strict_s3_request import Asked, Refused
from .strict_s3_rules import checksum_wanted, part_number

PART_MIN: Final = 5 * MiB
GONE: Final = "The specified upload does not exist. It may be invalid, or may have been aborted or completed."


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it was stored; ``total`` is its checksum by the upload's algorithm, None if it was copied."""

    size: int
    etag: str
    total: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A part as a request to complete names it."""

    number: int
    etag: str
    sums: dict[str, str]


@dataclass(slots=True)
class Upload:
    path: str
    algorithm: str
    kind: str
    parts: dict[int, Part] = field(default_factory=dict)


class Uploads:
    """The open uploads, by their ids. Thread-safe."""

    def __init__(self) -> None:
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def begun(self, asked: Asked, upload: str) -> None:
        algorithm, kind = checksum_wanted(asked)
        with self._lock:
            self._open[upload] = Upload(asked.raw_path, algorithm, kind)

    def ended(self, upload: str) -> None:
        with self._lock:
            self._open.pop(upload, None)

    def find(self, asked: Asked) -> Upload:
        """``NoSuchUpload`` if there is none of this id at this key."""
        upload = self._open.get(asked.query["uploadId"])
        if upload is None or upload.path != asked.raw_path:
            raise Refused("NoSuchUpload", GONE, UploadId=asked.query["uploadId"])
        return upload

    def check_part(self, asked: Asked) -> None:
        """Whether the checksum of a part goes with its upload; a COMPOSITE upload wants one of each part."""
        upload = self.find(asked)
        trailers = asked.headers.get("x-amz-trailer", "").lower()
        given = {**promised_sums(asked.headers), **promised_sums({trailers: ""} if trailers else {})}
        actual = next(iter(given), "null")
        needed = upload.kind == "COMPOSITE" and asked.operation == "UploadPart"
        if (upload.algorithm and given and actual != upload.algorithm) or (needed and not given):
            text = f"expected checksum Type: {upload.algorithm}, actual checksum Type: {actual}"
            raise Refused("InvalidRequest", f"Checksum Type mismatch occurred, {text}")

    def stored(self, asked: Asked, data: bytes | None, size: int, etag: str) -> None:
        upload = self.find(asked)
        total = sum_of(upload.algorithm, data) if data is not None and upload.algorithm else None
        with self._lock:
            upload.parts[part_number(asked.query["partNumber"])] = Part(size, etag.strip('"'), total)

    def check_complete(self, asked: Asked, body: bytes) -> None:
        """``Refused`` unless exactly what is named may become the object."""
        upload, named = self.find(asked), _named(body)
        numbers = [part.number for part in named]
        if numbers != sorted(set(numbers)):
            raise Refused("InvalidPartOrder", "The list of parts was not in ascending order.")
        found = [_stored_as(upload, part) for part in named]
        for number, part in list(zip(numbers, found, strict=True))[:-1]:
            if part.size < PART_MIN:
                text = "Your proposed upload is smaller than the minimum allowed size"
                raise Refused("EntityTooSmall", text, ProposedSize=part.size, PartNumber=number, ETag=part.etag)
        self._check_size(asked, sum(part.size for part in found))
        _check_sums(asked, upload, named, found)

    def _check_size(self, asked: Asked, size: int) -> None:
        given = asked.headers.get("x-amz-mp-object-size", str(size))
        if given != str(size):
            text = f"The provided 'x-amz-mp-object-size' header value {given} does not match what was computed: {size}"
            raise Refused("InvalidRequest", text)


def _named(body: bytes) -> list[Named]:
    try:
        root = parse(body)
        named = [_one(element) for element in root if element.tag.rpartition("}")[2] == "Part"]
    except (Unreachable, KeyError, ValueError):
        named = []
    if not named:
        text = "The XML you provided was not well-formed or did not validate against our published schema"
        raise Refused("MalformedXML", text)
    return named


def _one(element: Element) -> Named:
    fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
    sums = {name.removeprefix("Checksum").lower(): value for name, value in fields.items() if "Checksum" in name}
    return Named(part_number(fields["PartNumber"]), fields["ETag"].strip('"'), sums)


def _stored_as(upload: Upload, named: Named) -> Part:
    part = upload.parts.get(named.number)
    wrong = part and part.total and named.sums.get(upload.algorithm, part.total) != part.total
    if part is None or part.etag != named.etag or wrong:
        text = "One or more of the specified parts could not be found."
        raise Refused("InvalidPart", text, PartNumber=named.number, ETag=named.etag)
    return part


def _check_sums(asked: Asked, upload: Upload, named: list[Named], found: list[Part]) -> None:
    if upload.kind == "COMPOSITE":
        _check_composite(upload, named)
    kind = asked.headers.get("x-amz-checksum-type", "").upper()
    if kind and kind != (upload.kind or "FULL_OBJECT"):
        raise Refused("BadDigest", f"The checksum type {kind} is not the one of the upload, {upload.kind}.")
    totals = [(part.total, part.size) for part in found if part.total is not None]
    for algorithm, value in promised_sums(asked.headers).items():
        check_form(algorithm, value)
        if algorithm != upload.algorithm:
            raise Refused("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
        if len(totals) == len(found) and value != _total(upload, totals):
            raise Refused("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _check_composite(upload: Upload, named: list[Named]) -> None:
    for part in named:
        if upload.algorithm not in part.sums:
            text = (
                f"The upload was created using a {upload.algorithm} checksum. The complete request must include the"
                f" checksum for each part. It was missing for part {part.number} in the request."
            )
            raise Refused("InvalidRequest", text)
    if [part.number for part in named] != list(range(1, len(named) + 1)):
        raise Refused("InvalidPart", "With a composite checksum the parts must be numbered from 1 without gaps.")


def _total(upload: Upload, totals: list[tuple[str, int]]) -> str:
    if upload.kind == "FULL_OBJECT":
        return whole_of(upload.algorithm, totals)
    return composite_of(upload.algorithm, (value for value, _ in totals))
