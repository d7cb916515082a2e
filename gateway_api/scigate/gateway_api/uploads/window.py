"""The sliding window: of an upload that is larger than the room for uploads only the newest bytes stay on our disk.

What is durable at the storage is given up here while the quota presses: first recorded, then punched out of the file
(fallocate(2)). Such a file cannot be begun anew from here; its sender has to send it again if the storage loses it.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.crash_points import reached
from scigate.storage_backends.errors import StorageError
from scigate.storage_backends.posix_calls import Doing, failed, libc
from sqlalchemy import Connection, select, update

from ..db import points
from ..db.database import Database
from ..db.schema import block, file, upload
from .staging import Staging

log = logging.getLogger(__name__)
LEAST: Final = 16 * MiB  # bytes that are worth a hole
_PUNCH_HOLE, _KEEP_SIZE = 0x02, 0x01  # linux/falloc.h


class Window:
    """Gives room back to the quota. ``keeps(storage)``: whether a block is durable there as soon as it is recorded."""

    def __init__(self, database: Database, gateway: str, staging: Staging, keeps: Callable[[str], bool]) -> None:
        self._database, self._gateway, self._staging, self._keeps = database, gateway, staging, keeps

    @property
    def quota(self) -> int:
        """Bytes that all uploads may have here at once."""
        return self._staging.quota

    @property
    def longest_wait(self) -> int:
        """So many bytes of one upload may wait here at most before they are moved on; else the quota would stop it."""
        return self._staging.quota // 4

    def is_scarce(self, more: int) -> bool:
        """Whether room is short, or will be when ``more`` bytes come: then nothing may wait here."""
        used, quota = self._staging.used(), self._staging.quota
        return used > quota // 2 or more > quota - used

    def slide(self) -> None:
        """While more than half of the quota is taken, give up what has reached its storage."""
        if self.is_scarce(0):
            for row in self._candidates():
                try:
                    if self._keeps(row.destination_storage):
                        self._slide(row.seq, row.id)
                except StorageError as error:
                    log.warning("upload %s: no room could be given up: %s", row.id, error)

    def _candidates(self) -> list[Any]:
        """Uploads of which more has moved than is given up. Not those for whose whole a digest is promised: it may
        have to be computed again from the first byte."""
        mine = (upload.c.gateway == self._gateway, upload.c.ended.is_(None), upload.c.end.is_(None))
        fit = (upload.c.kind == "whole", upload.c.promised.is_(None), file.c.bytes_done >= upload.c.released + LEAST)
        query = select(upload.c.seq, upload.c.id, file.c.destination_storage).join(file, file.c.seq == upload.c.file)
        with self._database.read() as connection:
            return list(connection.execute(query.where(*mine, *fit)).all())

    def _slide(self, seq: int, id: str) -> None:
        def job(connection: Connection) -> tuple[int, int]:
            row = connection.execute(select(upload).where(upload.c.seq == seq).with_for_update()).one()
            until = min(_moved(connection, row.file), row.received)
            if row.end is None and until >= row.released + LEAST:
                connection.execute(update(upload).where(upload.c.seq == seq).values(released=until))
                points.written(connection, "upload.released")
            return row.released, until

        before, until = self._database.write(job)
        if until >= before + LEAST:
            punch(self._staging.path(id), until)
            reached("staging.window:punched")
            self._staging.give(id, until - before)


def punch(path: os.PathLike[str], until: int) -> None:
    """Free the first ``until`` bytes of a file; its length stays. A file system without holes keeps them."""
    with Doing("free the first bytes of", os.fspath(path)):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            call = libc().fallocate
            call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
            if call(descriptor, _PUNCH_HOLE | _KEEP_SIZE, 0, until):
                raise failed()
        finally:
            os.close(descriptor)


def _moved(connection: Connection, file_seq: int) -> int:
    """The end of the blocks that are at the storage without a gap from the first byte on."""
    end = 0
    query = select(block.c.offset, block.c.length).where(block.c.file == file_seq).order_by(block.c.offset)
    for row in connection.execute(query):
        if row.offset != end:
            break
        end += row.length
    return end
