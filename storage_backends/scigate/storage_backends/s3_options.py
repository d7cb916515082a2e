"""How an S3 storage is set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from .backend import GiB, MiB
from .credential import AccessKey, Secret
from .registry import Options
from .wire import PORTS, Target

PART_MIN: Final = 5 * MiB  # every part but the last; "Amazon S3 multipart upload limits"
PART_MAX: Final = 5 * GiB
PARTS_MAX: Final = 10_000


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in PORTS or not parts.hostname or parts.username or parts.query or parts.path.strip("/"):
        raise ValueError("an endpoint is written https://host or https://host:port, without a path or user name")
    _ = parts.port  # raises ValueError when it is not a port
    return f"{parts.scheme}://{parts.netloc}"


def _prefix(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("a prefix is a folder of the bucket, without a leading '/' and without '..'")
    return value if value == "" or value.endswith("/") else f"{value}/"


class S3Options(Options):
    """Options of an S3 storage.

    ``endpoint`` absent is AWS. ``prefix`` is the folder of the bucket that is the root of the storage.
    ``addressing``: "path" is ``host/bucket/key``, "virtual" ``bucket.host/key``; "auto" takes virtual at AWS only.
    ``ca_file``: PEM file with the authorities to trust instead of the system's. ``part_size`` is in bytes.
    """

    bucket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    region: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9-]{1,64}$")] = "us-east-1"
    access_key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
    secret_key: Secret
    session_token: Secret | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_file: Path | None = None
    part_size: Annotated[int, Field(ge=PART_MIN, le=PART_MAX)] = 16 * MiB
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16

    @model_validator(mode="after")
    def _dots_need_path_style(self) -> Self:
        if self.addressing == "virtual" and "." in self.bucket and self.base.scheme == "https":
            raise ValueError("a bucket with a dot in its name needs addressing = 'path': no certificate fits otherwise")
        return self

    @property
    def root_url(self) -> str:
        """As S3 clients write it; the endpoint is theirs to know."""
        return f"s3://{self.bucket}/{quote(self.prefix)}"

    @property
    def credential(self) -> AccessKey:
        return AccessKey(self.access_key, self.secret_key, self.session_token)

    @property
    def virtual(self) -> bool:
        """Whether the bucket stands in the host name."""
        return self.addressing == "virtual" or (
            self.addressing == "auto" and self.endpoint is None and "." not in self.bucket
        )

    @property
    def endpoint_url(self) -> str:
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    @property
    def base(self) -> Target:
        """Scheme, host and port of requests, and what stands before a key in the path."""
        parts = urlsplit(self.endpoint_url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        if self.virtual:
            return Target(parts.scheme, f"{self.bucket}.{host}", port, "/")
        return Target(parts.scheme, host, port, f"/{self.bucket}/")
