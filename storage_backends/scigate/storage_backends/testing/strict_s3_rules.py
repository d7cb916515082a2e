"""What a strict S3 server refuses before and besides storing: pure rules, each with the code that AWS documents.

Source: "Amazon S3 API Reference", the operations' own pages; "Amazon S3 multipart upload limits"; "Naming objects".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from ..backend import GiB, KiB
from .strict_s3_body import SUMS
from .strict_s3_request import WITH_BODY, Asked, Refused

KEY_MAX: Final = 1024
HEADERS_MAX: Final = 8 * KiB
METADATA_MAX: Final = 2 * KiB
REQUEST_MAX: Final = 5 * GiB
PARTS_MAX: Final = 10_000
KEYS_MAX: Final = 1000
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_SPAN: Final = re.compile(r"bytes=(\d+)-(\d+)")


def check_head(asked: Asked) -> None:
    """Everything that can be told without the body and without the storage."""
    if len(asked.key) > KEY_MAX:
        raise Refused("KeyTooLongError", "Your key is too long", Size=len(asked.key), MaxSizeAllowed=KEY_MAX)
    if asked.operation in WITH_BODY:
        _check_length(asked)
    metadata = [(name, value) for name, value in asked.headers.items() if name.startswith("x-amz-meta-")]
    if sum(len(name) - len("x-amz-meta-") + len(value) for name, value in metadata) > METADATA_MAX:
        text = "Your metadata headers exceed the maximum allowed metadata size"
        raise Refused("MetadataTooLarge", text, MaxSizeAllowed=METADATA_MAX)
    _check_conditions(asked)
    if asked.operation in {"UploadPart", "UploadPartCopy"}:
        part_number(asked.query.get("partNumber", ""))
    if asked.operation == "ListObjects":
        keys_wanted(asked)
    if asked.operation == "CreateMultipartUpload":
        checksum_wanted(asked)


def _check_length(asked: Asked) -> None:
    streamed = asked.has("x-amz-decoded-content-length")
    if asked.has("transfer-encoding") and not streamed:
        text = "A header you provided implies functionality that is not implemented"
        raise Refused("NotImplemented", text, Header="Transfer-Encoding")
    needed = ["x-amz-decoded-content-length"] if "STREAMING" in asked.headers.get("x-amz-content-sha256", "") else []
    needed += [] if asked.has("transfer-encoding") else ["content-length"]
    for name in needed:
        if not asked.headers.get(name, "").isdigit():
            raise Refused("MissingContentLength", "You must provide the Content-Length HTTP header.")
        if int(asked.headers[name]) > REQUEST_MAX:
            text = "Your proposed upload exceeds the maximum allowed size"
            raise Refused("EntityTooLarge", text, ProposedSize=asked.headers[name], MaxSizeAllowed=REQUEST_MAX)


def _check_conditions(asked: Asked) -> None:
    """ "Conditional writes": If-None-Match of a write only takes '*'."""
    if asked.operation in {"PutObject", "CompleteMultipartUpload", "CopyObject"}:
        if asked.headers.get("if-none-match", "*") != "*":
            text = "A header you provided implies functionality that is not implemented"
            raise Refused("NotImplemented", text, Header="If-None-Match")
        if asked.has("if-none-match") and asked.has("if-match"):
            raise Refused("InvalidRequest", "If-Match and If-None-Match cannot be given together")


def part_number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= PARTS_MAX):
        text = f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive"
        raise Refused("InvalidArgument", text, ArgumentName="partNumber", ArgumentValue=given)
    return int(given)


def keys_wanted(asked: Asked) -> int:
    """How many keys a page of a listing may have."""
    given = asked.query.get("max-keys", str(KEYS_MAX))
    if not (given.isascii() and given.isdigit()) or int(given) >= 1 << 31:
        text = f"Argument maxKeys must be an integer between 0 and {(1 << 31) - 1}"
        raise Refused("InvalidArgument", text, ArgumentName="maxKeys", ArgumentValue=given)
    return min(int(given), KEYS_MAX)


def checksum_wanted(asked: Asked) -> tuple[str, str]:
    """Algorithm and type of the checksum of an upload, or two empty strings.

    The types that go with an algorithm: "Checking object integrity", table of the full object and composite types.
    """
    algorithm = asked.headers.get("x-amz-checksum-algorithm", "").lower()
    kind = asked.headers.get("x-amz-checksum-type", "").upper()
    if not algorithm:
        if kind:
            raise Refused("InvalidRequest", "x-amz-checksum-type can only be used with x-amz-checksum-algorithm.")
        return "", ""
    if algorithm not in SUMS:
        raise Refused("InvalidRequest", "Checksum algorithm provided is unsupported.")
    kinds = {"crc64nvme": ["FULL_OBJECT"], "sha1": ["COMPOSITE"], "sha256": ["COMPOSITE"]}
    allowed = kinds.get(algorithm, ["COMPOSITE", "FULL_OBJECT"])
    if kind and kind not in allowed:
        raise Refused("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm} algorithm.")
    return algorithm, kind or allowed[0]


@dataclass(frozen=True, slots=True)
class Source:
    """What ``x-amz-copy-source`` names, and on which condition."""

    raw: str
    if_match: str
    span: str

    @property
    def raw_path(self) -> str:
        return "/" + self.raw.lstrip("/").partition("?")[0]

    def check(self, size: int, etag: str, *, part: bool) -> int:
        """The number of bytes that are copied, from an object as it was found."""
        if self.if_match and self.if_match.strip('"') != etag.strip('"'):
            text = "At least one of the pre-conditions you specified did not hold"
            raise Refused("PreconditionFailed", text, Condition="x-amz-copy-source-If-Match")
        length = size
        if part and self.span:
            found = _SPAN.fullmatch(self.span)
            if found is None or not int(found[1]) <= int(found[2]) < size:
                text = f"Range specified is not valid for source object of size: {size}"
                raise Refused("InvalidArgument", text, ArgumentName="x-amz-copy-source-range", ArgumentValue=self.span)
            length = int(found[2]) - int(found[1]) + 1
        if length > REQUEST_MAX:
            raise Refused("InvalidRequest", f"The specified copy source is larger than the maximum: {REQUEST_MAX}")
        return length


def copy_source(asked: Asked) -> Source:
    raw = asked.headers["x-amz-copy-source"]
    if "/" not in raw.strip("/"):
        text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise Refused("InvalidArgument", text, ArgumentName="x-amz-copy-source", ArgumentValue=raw)
    same = unquote("/" + raw.lstrip("/")) == unquote(asked.raw_path)
    if asked.operation == "CopyObject" and same and asked.headers.get("x-amz-metadata-directive", "COPY") == "COPY":
        text = "This copy request is illegal because it is trying to copy an object to itself without changing it."
        raise Refused("InvalidRequest", text)
    match = asked.headers.get("x-amz-copy-source-if-match", "")
    return Source(raw, match, asked.headers.get("x-amz-copy-source-range", ""))


def wanted_range(given: str, size: int) -> range | None:
    """The bytes that a Range header asks for; None is the whole object: S3 ignores what it cannot read as one range.

    RFC 9110 section 14.1.2. ``InvalidRange`` if it begins behind the end.
    """
    found = _RANGE.fullmatch(given.strip())
    if found is None or not (found[1] or found[2]):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        text = "The requested range is not satisfiable"
        raise Refused("InvalidRange", text, RangeRequested=given, ActualObjectSize=size)
    return range(start, stop)


def check_write(asked: Asked, found_etag: str | None) -> None:
    """The conditions of a write, against the ETag of what is there; None is nothing."""
    if asked.has("if-none-match") and found_etag is not None:
        text = "At least one of the pre-conditions you specified did not hold"
        raise Refused("PreconditionFailed", text, Condition="If-None-Match")
    wanted = asked.headers.get("if-match")
    if wanted is None:
        return
    if found_etag is None:
        raise Refused("NoSuchKey", "The specified key does not exist.")
    if wanted != "*" and wanted.strip('"') != found_etag.strip('"'):
        text = "At least one of the pre-conditions you specified did not hold"
        raise Refused("PreconditionFailed", text, Condition="If-Match")


def forwarded(headers: Mapping[str, str], trailers: Mapping[str, str]) -> dict[str, str]:
    """The headers that go on to the server below: without what the layer has dealt with."""
    encodings = [word.strip() for word in headers.get("content-encoding", "").split(",")]
    left = ", ".join(word for word in encodings if word not in {"", "aws-chunked"})
    kept = {name: value for name, value in headers.items() if name not in _DEALT_WITH}
    return kept | ({"content-encoding": left} if left else {}) | dict(trailers)


_DEALT_WITH: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "if-match",
        "if-none-match",
        "transfer-encoding",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-copy-source-if-match",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-mp-object-size",
        "x-amz-security-token",
        "x-amz-trailer",
    }
)
