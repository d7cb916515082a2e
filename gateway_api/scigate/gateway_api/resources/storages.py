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


class Space(Resource):
    """How much a storage can hold, in bytes."""

    total: int
    free: int


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
    space: Space | None = Field(default=None, description="None: the storage cannot tell")
    expected_rate: float | None = Field(
        default=None, description="bytes per second: the median of what finished there in the last days"
    )
    communities: list[str] = Field(default=[], description="those of yours that it is shared with, by name")
    nearest: bool = Field(default=False, description="the one to suggest as a destination; at most one is")


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


class Feedback(Resource):
    """Where people tell what they wish or what is broken: ``[feedback]`` of the settings."""

    request: str | None = Field(default=None, examples=["mailto:data@example.org"])
    report: str | None = Field(default=None, examples=["https://git.example.org/gateway/issues/new"])


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
    users_active: int = Field(default=0, description="people who asked in 5 minutes, follow events or move files")
    rate: float = Field(default=0.0, description="bytes per second, all transfers together, over the last seconds")
    registry: str = Field(default="", description="in words: where the storages come from")
    feedback: Feedback = Feedback()
