"""Claimed work as values: a task with all that is needed to move it, what earlier attempts left, blocks done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..resources import Overwrite, Verify
from .ledger import Held
from .planner import Block
from .scheduler import Lane


@dataclass(frozen=True, slots=True)
class OldDraft:
    """What an earlier attempt left at the destination. With an ``identity`` it may have been published."""

    epoch: int
    key: str
    ref: str | None
    identity: str | None
    block_length: int | None
    created: float


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed file and all that is needed to move it. ``adoptable``: the earlier attempt has surely ended."""

    held: Held
    transfer_id: str
    lane: Lane
    source_storage: str
    source_path: str
    destination_storage: str
    destination_path: str
    overwrite: Overwrite
    verify: Verify
    source_version: str | None
    source_modified: float | None
    digests: Mapping[str, str]
    adoptable: bool
    old_drafts: tuple[OldDraft, ...] = ()

    @property
    def key(self) -> str:
        """The identity of this attempt at the storage."""
        return f"{self.transfer_id}.{self.held.seq}.{self.held.epoch}"


@dataclass(frozen=True, slots=True)
class DoneBlock:
    """A block that is at the destination's draft, with its digests."""

    block: Block
    crc64nvme: str
    blake3: str
    token: str
