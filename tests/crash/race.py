"""Eight gateways started at once on one database with much to do; somebody counts at the disk what they publish."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

IN_MOVED_TO: Final = 0x80
IN_NONBLOCK: Final = os.O_NONBLOCK
HEAD: Final = struct.Struct("iIII")  # struct inotify_event of inotify(7), without the name
SOON: Final = 0.05


class Publications:
    """How often each name in some folders was given to a file by a rename, as the kernel tells (inotify(7))."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.counted: Counter[str] = Counter()
        self.lost = False
        """The kernel had more to tell than it could keep."""
        library = ctypes.CDLL(None, use_errno=True)
        self._fd = library.inotify_init1(IN_NONBLOCK)
        self._folders = {
            library.inotify_add_watch(self._fd, os.fsencode(folder), IN_MOVED_TO): folder for folder in folders
        }
        assert self._fd >= 0, "inotify(7) works here"
        assert -1 not in self._folders, "every folder can be watched"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            over = self._over.is_set()
            if select.select([self._fd], [], [], SOON)[0]:
                self._count(os.read(self._fd, 1 << 16))
            elif over:
                return

    def _count(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            watch, mask, _, length = HEAD.unpack_from(data, at)
            name = data[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0")
            at += HEAD.size + length
            self.lost |= watch == -1
            if mask & IN_MOVED_TO:
                self.counted[str(self._folders[watch] / os.fsdecode(name))] += 1
