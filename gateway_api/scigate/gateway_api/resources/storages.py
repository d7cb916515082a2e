"""Storages, what is in them, and the gateway itself."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from .base import Cause, PathText, Request, Resource


class ArchiveKind(StrEnum):
    """The formats in which a folder can be fetched as one archive."""

    ZIP = "zip"
    TAR = "tar"


class StorageState(StrEnum):
    """Whether a storage can be used now."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Storage(Resource):
    """A storage as its users see it."""

    name: str
    type: str
    summary: str
    site: str | None
    url: str | None = Field(description="root of the storage's own URLs")
    read_only: bool
    state: StorageState
    cause: Cause | None
    can: list[str] = Field(description="what it can do beyond read and write, e.g. copy, digest, presign, move")
    largest_upload: int = Field(description="a file of more bytes cannot be PUT: limits.staging_quota")


class Entry(Resource):
    """A file or folder of a storage."""

    location: PathText
    name: PathText
    kind: str
    size: int
    modified: datetime | None
    version: str | None
    etag: str | None = Field(default=None, description="the ETag of a GET of it, for If-Match and If-Range")
    digests: dict[str, str]
    surl: PathText | None
    note: str | None = None


class MoveRequest(Request):
    """Rename a file within its storage."""

    source: PathText
    destination: PathText
    overwrite: bool = False


class Check(Resource):
    """One thing that was looked at."""

    name: str
    ok: bool
    message: str
    next_step: str | None = None


class Status(Resource):
    """How the gateway is: for dashboards and admins."""

    version: str
    time: datetime
    started: datetime
    ok: bool
    checks: list[Check]
    broken_plugins: dict[str, str]
    files: dict[str, int]
    workers: int
    active: int
