"""What a run is about, in plain values: handed to the checker and the watcher, which know nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Content:
    """The bytes of a file, by their digest."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Piece:
    """One file of an operation: its destination, what shall be there, and what was there before."""

    storage: str
    path: str
    place: str
    """Where that really is: a path of this machine, or a key of the bucket."""
    is_object: bool
    new: Content
    old: Content | None = None
    also: Content | None = None
    """What may be there instead of ``new``: the source was changed while it was copied."""

    @property
    def fresh(self) -> tuple[Content, ...]:
        """What may be there when it is stored."""
        return (self.new,) if self.also is None else (self.new, self.also)


@dataclass(frozen=True)
class Manner:
    """How a sender of resumable uploads behaves. ``ends_at`` and ``leaves_at``: so many bytes after which it deletes
    the upload, or never comes back; ``sleeps_at``: so many after which it says nothing for a while."""

    largest_piece: int = 2 << 20
    pause: float = 0.1
    """Seconds at most between two pieces."""
    ends_at: int | None = None
    leaves_at: int | None = None
    sleeps_at: int | None = None
    always_checked: bool = False
    """Every piece has a checksum."""
    promises: str = ""
    """A digest that is promised for the whole, as ``algorithm value``, and is not that of its bytes."""


@dataclass
class Sending:
    """One resumable upload, and what its sender was told of it."""

    key: str
    """Its Idempotency-Key."""
    kind: str
    """whole, partial, or final (of the partial ones before it)."""
    original: str
    """The file of which the bytes from ``start`` to ``end`` are sent."""
    start: int
    end: int
    id: str | None = None
    told: list[tuple[int, int]] = field(default_factory=list)
    """(offset, how many bytes had been sent at most), after each answer that told an offset."""
    sent: int = 0
    """Behind the last byte that was ever handed to the network, not counting those that were damaged on purpose."""
    expires: float = 0.0
    """Until when it is kept at least, as it was told last; seconds of the clock."""
    ended: bool = False
    """Its DELETE was acknowledged."""

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass
class Operation:
    """One request with an Idempotency-Key of its own, and what is asked of its transfer afterwards."""

    key: str
    kind: str
    pieces: list[Piece]
    files: list[tuple[str, str]]
    """(source, destination), as they are submitted."""
    overwrite: str = "fail"
    outcomes: frozenset[str] = frozenset({"DONE"})
    """The final states that its files may have."""
    start: float = 0.0
    """Seconds after the run's begin."""
    wishes: list[tuple[float, str]] = field(default_factory=list)
    """(seconds after it is accepted, what is asked)."""
    lose_reply: bool = False
    missing: tuple[str, str] | None = None
    """(path, original): a source that is only put there after the transfer has failed; then it is tried again."""
    vanishing: str | None = None
    """A source that is removed a moment after the submit."""
    vanishes_when_there: bool = False
    """It is removed when its destination has changed, instead."""
    changing: tuple[str, dict[int, bytes]] | None = None
    """(path, offset → bytes): a source in which that is written a moment after the submit."""
    upload: str | None = None
    """The file whose bytes are sent with the request."""
    in_bulk: bool = False
    """Its files are submitted line by line."""
    deadline: float | None = None
    """Seconds since 1970."""
    not_before: float | None = None
    """The same."""
    transfer: str | None = None
    """The id that was acknowledged, where the label cannot tell."""
    sendings: list[Sending] = field(default_factory=list)
    """Resumable uploads, one after the other, instead of a submit."""
    manner: Manner = field(default_factory=Manner)

    @property
    def name(self) -> str:
        return f"{self.key} ({self.kind})"


@dataclass(frozen=True)
class Bucket:
    """Where the objects of a run are."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str = "scigate"
    prefix: str = ""

    def client(self) -> Any:
        """A boto3 client: a witness of its own."""
        import boto3
        from botocore.config import Config

        config = Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 4}, connect_timeout=60, read_timeout=120,
            request_checksum_calculation="when_required", response_checksum_validation="when_required",
        )  # fmt: skip
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key, region_name="us-east-1", config=config,
        )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """All that a run wrote to, and all that it should have done."""

    database: str
    s3: Bucket
    posix_roots: tuple[str, ...]
    staging: str
    workers: str
    operations: list[Operation]
