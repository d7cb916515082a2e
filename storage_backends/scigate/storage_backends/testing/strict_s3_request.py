"""What a strict S3 server is asked, and how it refuses: codes, statuses and documents as AWS gives them.

Source: "Amazon S3 API Reference": Error responses, and the errors of each operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, unquote_to_bytes
from xml.sax.saxutils import escape

STATUSES: Final[Mapping[str, int]] = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BadDigest": 400,
    "ConditionalRequestConflict": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidChunkSizeError": 403,
    "InvalidDigest": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "KeyTooLongError": 400,
    "MalformedTrailerError": 400,
    "MalformedXML": 400,
    "MetadataTooLarge": 400,
    "MissingContentLength": 411,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "XAmzContentSHA256Mismatch": 400,
}


class Refused(Exception):
    """A request is refused with one of the codes in ``STATUSES``; ``details`` are further elements of the document."""

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.details = code, message, details

    @property
    def status(self) -> int:
        return STATUSES[self.code]

    def document(self, *, declaration: bool = True) -> bytes:
        fields = {"Code": self.code, "Message": self.message, **self.details, "RequestId": "STRICT", "HostId": "strict"}
        inside = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
        return ((DECLARATION if declaration else "") + f"<Error>{inside}</Error>").encode("utf-8", "backslashreplace")


DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came: the target still encoded, header names in lower case."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, method: str, target: str, headers: Mapping[str, str]) -> Asked:
        path, _, query = target.partition("?")
        return cls(method, path, query, headers)

    @property
    def bucket(self) -> str:
        return unquote(self.raw_path[1:].partition("/")[0])

    @property
    def key(self) -> bytes:
        return unquote_to_bytes(self.raw_path[1:].partition("/")[2])

    @property
    def query(self) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in self.raw_query.split("&") if pair)
        return {unquote(name): unquote(value, errors="surrogateescape") for name, _, value in pairs}

    def has(self, name: str) -> bool:
        return name in self.headers

    @property
    def operation(self) -> str:
        """The name of the operation in the API Reference; ``Other`` for what the layer has no rule about."""
        if not self.key:
            return self._on_bucket()
        found = _ON_OBJECT.get((self.method, self._subresource()))
        copied = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
        return (copied.get(found, found) if self.has("x-amz-copy-source") else found) if found else "Other"

    def _subresource(self) -> str:
        query = self.query
        return next((name for name in ("uploadId", "uploads", *_SUBRESOURCES) if name in query), "")

    def _on_bucket(self) -> str:
        query = self.query
        if self.method == "POST" and "delete" in query:
            return "DeleteObjects"
        if self.method != "GET" or not self.bucket:
            return "Other"
        if "uploads" in query:
            return "ListMultipartUploads"
        return "ListObjects" if not query.keys() & _SUBRESOURCES else "Other"


_SUBRESOURCES: Final = frozenset({"acl", "tagging", "versions", "location", "versioning", "policy", "attributes"})
_ON_OBJECT: Final = {
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("GET", "uploadId"): "ListParts",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
WRITING: Final = frozenset(
    {
        "PutObject",
        "CopyObject",
        "UploadPart",
        "UploadPartCopy",
        "CreateMultipartUpload",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObject",
        "DeleteObjects",
    }
)
WITH_BODY: Final = frozenset({"PutObject", "UploadPart", "CompleteMultipartUpload", "DeleteObjects"})
