"""What the disk holds, set right with what is recorded: after a crash, a power cut, or a database that was away."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.crash_points import reached
from scigate.storage_backends.errors import StorageError
from scigate.storage_backends.posix_calls import mount_number

from ..problems import Problem
from ..transfers.receiving import GONE
from . import rows
from .growing import GrowingFile
from .model import Append, Kind
from .staging import sync_folder, unchecked
from .store import Stored
from .writer import Reception, Writer

log = logging.getLogger(__name__)
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Boot:
    """Tells a death of the process from one of its disk: after a start of the machine, and after the disk was mounted
    anew, only what was synced is there. Where Linux does not number its mounts, the latter is not noticed."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._path, self._staging = folder / "boot-id", staging

    @cached_property
    def _now(self) -> str | None:
        return f"{BOOT_ID.read_text().strip()} {mount_number(str(self._staging))}" if BOOT_ID.exists() else None

    def is_same(self) -> bool:
        """Whether machine and mount are those of ``remember``; False where that cannot be known."""
        return self._now is not None and self._path.exists() and self._path.read_text() == self._now

    def remember(self) -> None:
        """From now on writes of this boot may be on the disk; durable."""
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            file.write(self._now or "")
            file.flush()
            os.fsync(file.fileno())
        reached("staging.boot:written")
        new.replace(self._path)
        sync_folder(self._path.parent)


def recover_all(around: Reception, boot: Boot) -> None:
    """At the start, before anybody writes: every upload of this gateway is exactly what is recorded of it, or more
    where that can be trusted."""
    trusted = boot.is_same()
    for row in around.store.receiving():
        if row.completed is not None:
            around.arrivals.grown(row.id, row.received, complete=True)
            continue
        try:
            recover(around, row, trusted=trusted)
        except (Problem, StorageError) as error:
            log.warning("upload %s could not be set right: %s", row.id, error)
    reached("staging.recovery:over")
    boot.remember()


def is_unsettled(around: Reception, row: Any) -> bool:
    """Whether the file holds something else than is recorded."""
    if row.kind in (Kind.FINAL, rows.PUT) or row.completed is not None or row.end is not None:
        return False
    path = around.staging.path(row.id)
    size = path.stat().st_size if path.exists() else 0
    is_whole = row.length == row.received
    return size != row.received or is_whole or unchecked(around.staging, row.id).exists()


def recover(around: Reception, row: Any, *, trusted: bool = True) -> None:
    """Take over what is in the file, or cut it off; see ``Writer.recover``."""
    if not is_unsettled(around, row):
        return
    path = around.staging.path(row.id)
    if row.received and (not path.exists() or path.stat().st_size < row.received):
        _begin_anew(around, row)
    else:
        Writer(around, row, Append(row.received), lambda: None).recover(trusted=trusted)


def _begin_anew(around: Reception, row: Any) -> None:
    """The sender goes on with what is left. If the beginning was given up already, there is nothing to go on with."""
    if row.released:
        around.store.refuse(row, GONE.cause)
        return
    file = GrowingFile(around.staging.path(row.id), 0, 0)
    try:
        file.catch_up()
        file.settle()
        log.error("upload %s: %d bytes were recorded, but the disk holds %d", row.id, row.received, file.position)
        around.store.lost(row, Stored(file.position, f"{file.crc:016x}"))
    finally:
        file.close()
