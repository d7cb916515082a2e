"""Uploads: what a client sends, shown in its two legs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Cause, Label, Moment, MomentAnywhere, PathText, Request, Resource
from .transfers import Overwrite, Transfer, Verify

Size = Annotated[int, Field(ge=0, lt=1 << 63)]


class UploadState(StrEnum):
    """How far an upload is."""

    RECEIVING = "RECEIVING"  # bytes are still to come from the client
    RECEIVED = "RECEIVED"  # all of them are here, durably: the client is free
    DONE = "DONE"  # its file is DONE at the storage (a partial upload: it has become part of another)
    FAILED = "FAILED"  # its file has failed
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"  # the client did not come back in time


class Leg(Resource):
    """One of the two ways: from the client to the gateway, or from there to the storage."""

    bytes: int
    rate: float | None = Field(description="bytes per second, over the last seconds; None: nothing moves")


class Durable(Resource):
    """What of an upload is safe at the gateway, also from a power cut; by its digest a sender knows its own bytes."""

    bytes: int
    crc64nvme: str = Field(description="of those bytes: CRC-64/NVME, 16 hexadecimal digits")


class Upload(Resource):
    """A resumable upload."""

    id: str
    owner: str
    name: PathText | None = Field(description="of the sender's file")
    destination: PathText | None = Field(description="None for a part that others are concatenated with")
    transfer: str | None
    file: str | None
    state: UploadState
    size: int | None = Field(description="None while the client has not said it")
    arrived: Leg = Field(description="client → gateway; soon also safe from a power cut")
    stored: Leg = Field(description="gateway → storage")
    durable: Durable | None = Field(default=None, description="None: the gateway is an older one")
    held: int | None = Field(
        default=None, description="bytes of the room for uploads that it takes here; None: it is at another gateway"
    )
    created: datetime
    expires: datetime | None = Field(description="when it is given up if nothing more arrives")
    cause: Cause | None


class FileToSend(Request):
    """One file of a folder that is going to be sent."""

    path: PathText = Field(description="below the destination, with '/' between names", examples=["plots/a.png"])
    size: Size
    modified: MomentAnywhere | None = None


class FolderToSend(Request):
    """A manifest: the files of a folder, one upload for each, all in one transfer."""

    destination: PathText = Field(description="a folder", examples=["archive:/run7/"])
    files: list[FileToSend] = Field(min_length=1, max_length=10_000)
    overwrite: Overwrite = Overwrite.FAIL
    verify: Verify = Verify.AUTO
    priority: int = Field(default=5, strict=True, ge=0, le=9, description="9 goes first")
    label: Label = None
    not_before: Moment | None = Field(default=None, description="deliver them then; default: at once")
    deadline: Moment | None = Field(
        default=None, description="delivery is tried until then; default 7 days from when all is received"
    )


class FolderUpload(Resource):
    """The answer to a manifest: ``uploads`` in the order of its files."""

    transfer: Transfer
    uploads: list[Upload]
    replayed: bool
