"""The control plane of S3, by boto3: multipart uploads, copies of large objects inside the storage, links."""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from .errors import InvalidName, NotFound, StorageError, Unreachable
from .s3_clock import ServerClock, follow
from .s3_data import CONTENT_TYPE, IDENTITY, in_base64
from .s3_errors import Refusal, code_of, translated
from .s3_options import S3Options

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_MAX: Final = timedelta(days=7)  # "Sharing objects with presigned URLs"
TRIES: Final = 2  # the engine retries; this bridges a stale connection
CONTROL_READ_TIMEOUT: Final = 300  # seconds; completing or copying a large object may take minutes without a byte
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # cannot stand in XML 1.0, section 2.2
_NO_CHECKSUMS: Final = frozenset({"NotImplemented", "InvalidRequest", "InvalidArgument"})


@dataclass(frozen=True, slots=True)
class Part:
    """A part as the storage lists it; ``number`` counts from 1."""

    number: int
    size: int
    etag: str


class ControlPlane:
    """boto3 calls on the keys of one bucket. Thread-safe. The client is made when it is first needed."""

    def __init__(self, options: S3Options, clock: ServerClock) -> None:
        self._options, self._clock = options, clock
        self._bucket = options.bucket
        self._lock = threading.Lock()
        self._made: S3Client | None = None
        self._made_once: S3Client | None = None

    @property
    def _client(self) -> S3Client:
        """For requests that do no harm when they are sent twice."""
        with self._lock:
            if self._made is None:
                self._made = _new_client(self._options, self._clock, TRIES)
            return self._made

    @property
    def _once(self) -> S3Client:
        """For requests that must not be sent twice: an upload that is begun again after its id got lost is nobody's."""
        with self._lock:
            if self._made_once is None:
                self._made_once = _new_client(self._options, self._clock, 1)
            return self._made_once

    def create_upload(self, key: str, path: str, identity: str) -> tuple[str, bool]:
        """Begin a multipart upload: its id, and whether the storage takes a checksum over the whole object."""
        about = {"ContentType": CONTENT_TYPE, "Metadata": {IDENTITY: identity}}
        whole = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
        try:
            return self._create(key, path, {**about, **whole}), True
        except Unreachable as error:
            if _CONTROL.search(key) and isinstance(error.__cause__, Refusal):  # the answer repeats the key as XML
                text = "no upload of a name with a control character can be begun: the answer cannot be read"
                raise InvalidName(text, path=path) from error
            raise
        except StorageError as error:
            if code_of(error) not in _NO_CHECKSUMS:
                raise
        return self._create(key, path, about), False

    def _create(self, key: str, path: str, arguments: Mapping[str, Any]) -> str:
        answer = self._call(self._once.create_multipart_upload, key, path, **arguments)
        return str(answer["UploadId"])

    def complete(
        self, key: str, path: str, upload: str, parts: list[Part], *, if_none_match: bool, crc64nvme: str | None
    ) -> str:
        """Make the parts the object; gives its ETag. An error inside an answer of status 200 is an error."""
        named = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        arguments: dict[str, Any] = {"UploadId": upload, "MultipartUpload": {"Parts": named}}
        if if_none_match:
            arguments["IfNoneMatch"] = "*"
        if crc64nvme is not None:
            arguments |= {"ChecksumCRC64NVME": in_base64(crc64nvme), "ChecksumType": "FULL_OBJECT"}
        answer = self._call(self._client.complete_multipart_upload, key, path, **arguments)
        return str(answer.get("ETag", "")).strip('"')

    def abort(self, key: str, path: str, upload: str) -> None:
        """Drop an upload and its parts; there being none is fine."""
        try:
            self._call(self._client.abort_multipart_upload, key, path, UploadId=upload)
        except NotFound:
            return

    def parts(self, key: str, path: str, upload: str, *, behind: int = 0) -> Iterator[Part]:
        """The parts of an upload with numbers above ``behind``, page by page."""
        marker = behind
        while True:
            page = self._call(self._client.list_parts, key, path, UploadId=upload, PartNumberMarker=marker)
            for part in page.get("Parts", ()):
                if int(part["PartNumber"]) > behind:  # not every server obeys the marker
                    yield Part(int(part["PartNumber"]), int(part["Size"]), str(part["ETag"]).strip('"'))
            following = int(page.get("NextPartNumberMarker") or 0)
            if not page.get("IsTruncated") or following <= marker:
                return
            marker = following

    def uploads(self, key: str, path: str) -> Iterator[tuple[str, datetime]]:
        """The open uploads of exactly this key: id and when they began."""
        try:
            yield from self._uploads(key, path)
        except NotFound:
            return  # what some servers say when there is none

    def _uploads(self, key: str, path: str) -> Iterator[tuple[str, datetime]]:
        asked = {"Bucket": self._bucket, "Prefix": key, "EncodingType": "url"}
        markers: dict[str, str] = {}
        while True:
            page = translated(self._client.list_multipart_uploads, path, **asked, **markers)
            for upload in page.get("Uploads", ()):
                if upload["Key"] == key:  # boto3 has decoded it
                    yield str(upload["UploadId"]), upload["Initiated"]
            if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
                return
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}

    def copy_part(self, source: str, key: str, path: str, upload: str, number: int, *, etag: str, span: range) -> Part:
        """Copy a range of an object into a part of an upload."""
        between = f"bytes={span.start}-{span.stop - 1}"
        answer = self._call(
            self._client.upload_part_copy,
            key,
            path,
            UploadId=upload,
            PartNumber=number,
            CopySourceRange=between,
            **self._source(source, etag),
        )
        return Part(number, len(span), str(answer["CopyPartResult"]["ETag"]).strip('"'))

    def create_copy_upload(self, key: str, path: str, about: Mapping[str, Any]) -> str:
        """Begin a multipart upload that becomes a copy."""
        return self._create(key, path, about)

    def link(self, key: str, path: str, lifetime: timedelta) -> str:
        """A URL that reads an object without a credential."""
        return str(
            translated(
                self._client.generate_presigned_url,
                path,
                ClientMethod="get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=int(lifetime.total_seconds()),
            )
        )

    def _source(self, key: str, etag: str) -> dict[str, Any]:
        return {"CopySource": {"Bucket": self._bucket, "Key": key}, "CopySourceIfMatch": f'"{etag}"'}

    def _call(self, operation: Callable[..., Any], key: str, path: str, **arguments: Any) -> Any:
        return translated(operation, path, Bucket=self._bucket, Key=key, **arguments)


def _new_client(options: S3Options, clock: ServerClock, tries: int) -> S3Client:
    """A client that knows only what the options say: no file, profile or variable of the environment counts."""
    import botocore.session
    from botocore.config import Config

    ignored = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    session = botocore.session.Session(
        session_vars={name: (None, None, value, None) for name, value in ignored.items()}
    )
    config = Config(
        s3={"addressing_style": "virtual" if options.virtual else "path"},
        signature_version="s3v4",
        connect_timeout=10,
        read_timeout=CONTROL_READ_TIMEOUT,
        retries={"total_max_attempts": tries, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=options.concurrency,
        proxies={},
    )
    credential = options.credential
    client = session.create_client(
        "s3",
        region_name=options.region,
        endpoint_url=options.endpoint_url,
        aws_access_key_id=credential.id,
        aws_secret_access_key=credential.secret.reveal(),
        aws_session_token=credential.session_token.reveal() if credential.session_token else None,
        verify=str(options.ca_file) if options.ca_file else ssl.get_default_verify_paths().cafile or True,
        config=config,
    )
    follow(client, clock)
    return cast("S3Client", client)
