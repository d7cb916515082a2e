"""Transfers and their files."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from .base import Cause, Label, MomentAnywhere, PathText, Request, Resource


class Overwrite(StrEnum):
    """What happens when the destination exists."""

    FAIL = "fail"
    SKIP_SAME = "skip-same"  # equal content: nothing to do; different content: replace it
    NEWER = "newer"  # replace it when the source is newer or differs in size, skip otherwise
    OVERWRITE = "overwrite"


class Verify(StrEnum):
    """How a file is proven before it is DONE. ``SIZE`` is never chosen by itself."""

    AUTO = "auto"  # the storage's own digest where it is strong, else read again
    REREAD = "reread"
    SIZE = "size"


class Proof(StrEnum):
    """The grade of proof of a DONE file."""

    A = "A"  # re-read from the destination and hashed by us
    B = "B"  # digest computed by the destination from what it stores
    C = "C"  # digest claimed by the destination at ingest
    D = "D"  # size only


class FileState(StrEnum):
    """States of a file; the arrows are in ``transfers.machine``."""

    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    COPYING = "COPYING"
    VERIFYING = "VERIFYING"
    PUBLISHING = "PUBLISHING"
    DONE = "DONE"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


class TransferState(StrEnum):
    """States of a transfer, derived from its files and from what its owner asked for."""

    QUEUED = "QUEUED"  # accepted, nothing moved yet
    ACTIVE = "ACTIVE"
    WAITING = "WAITING"  # nothing can move now; the cause says why and until when
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    DONE = "DONE"
    FAILED = "FAILED"  # finished, and at least one file failed
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (TransferState.DONE, TransferState.FAILED, TransferState.CANCELLED)


class FileRequest(Request):
    """One source and destination. A source folder ends in ``/`` and is copied with all below it; a destination
    ending in ``/`` keeps the source's name."""

    source: PathText = Field(examples=["lab:/run7/a.bam", "https://example.org/data.h5", "lab:/run7/"])
    destination: PathText = Field(examples=["archive:/run7/a.bam", "archive:/incoming/"])


class TransferRequest(Request):
    """What a user submits."""

    files: list[FileRequest] = Field(min_length=1, max_length=10_000)
    overwrite: Overwrite = Overwrite.FAIL
    verify: Verify = Verify.AUTO
    priority: int = Field(default=5, strict=True, ge=0, le=9, description="9 goes first")
    label: Label = None
    deadline: MomentAnywhere | None = Field(
        default=None, description="retried until then; default 7 days from when it may begin"
    )
    not_before: MomentAnywhere | None = Field(default=None, description="begin then; default: at once")


class Counts(Resource):
    """How many files are in which condition; ``total`` grows while a folder is still being listed."""

    total: int = 0
    queued: int = 0
    active: int = 0
    waiting: int = 0
    paused: int = 0
    done: int = 0
    skipped: int = 0  # part of done: nothing to do
    failed: int = 0
    cancelled: int = 0


class Transfer(Resource):
    """A transfer with its progress."""

    id: str
    owner: str
    label: str | None
    state: TransferState
    overwrite: Overwrite
    verify: Verify
    priority: int
    created: datetime
    finished: datetime | None
    deadline: datetime
    not_before: datetime | None = Field(default=None, description="when its owner wanted it to begin")
    listing: bool = Field(description="true while folders are still being listed, so totals still grow")
    files: Counts
    bytes_total: int
    bytes_done: int
    rate: float | None = Field(description="bytes per second, over the last seconds")
    eta_seconds: float | None = Field(description="None when it cannot be said honestly")
    proof: Proof | None = Field(description="the weakest grade among the finished files")
    cause: Cause | None
    expected_rate: float | None = Field(
        default=None, description="bytes per second: the median of what finished lately on the same way"
    )


class TransferFile(Resource):
    """One file of a transfer."""

    id: str
    transfer: str
    source: PathText
    destination: PathText
    state: FileState
    size: int | None
    bytes_done: int
    attempts: int
    skipped: bool
    proof: Proof | None
    digests: dict[str, str]
    surl: PathText | None = Field(description="the storage's own URL of the destination, reachable without SciGate")
    cause: Cause | None
    next_try: datetime | None
    created: datetime
    finished: datetime | None


class Attempt(Resource):
    """How fast one attempt at a file went."""

    file: str
    attempt: int
    began: datetime
    ended: datetime | None = Field(description="None: it is under way")
    points: list[tuple[float, float]] = Field(
        max_length=120,
        description="seconds since it began, and bytes per second from the point before until then; the oldest first",
    )


class Rates(Resource):
    """The attempts at a transfer's files of 32 MiB and more, the newest 100."""

    attempts: list[Attempt]
    expected: float | None = Field(description="bytes per second: the median of what finished lately on the same way")


class Submitted(Resource):
    """The answer to a submit. ``replayed``: this Idempotency-Key had been accepted before."""

    transfer: Transfer
    replayed: bool
