"""A file system with faults (FUSE): ``faulty_fs.py BEHIND PLACE RULES``.

What is seen at PLACE is stored in BEHIND. RULES is JSON, read anew whenever it changes:
``open``, ``write``, ``read``, ``fsync``: the name of an errno that such calls fail with
(``after``: only from this offset on);
``left``: so many calls fail, then no more; ``stuck``: a write takes as long as the rules say so;
``flip``: the offset of a byte of which one bit is stored wrongly when it is written, ``flips`` times (1).
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import mfusepy as fuse

BEHIND, PLACE, RULES = sys.argv[1:4]
STAT = ("st_mode", "st_size", "st_nlink", "st_uid", "st_gid", "st_blocks", "st_ino")


class FaultyFileSystem(fuse.Operations):
    use_ns = True

    def __init__(self) -> None:
        self._stamp, self._rules = (0, 0), {}
        self._lock = threading.Lock()

    def _behind(self, path: str) -> str:
        return BEHIND + path

    def _rule(self) -> dict[str, Any]:
        with self._lock:
            found = os.stat(RULES)  # not before: another call may have read newer rules meanwhile, and counted by them
            if (stamp := (found.st_mtime_ns, found.st_ino)) != self._stamp:
                self._stamp, self._rules = stamp, json.loads(Path(RULES).read_text())
            return self._rules

    def _fail(self, call: str, offset: int = 0) -> bool:
        rules = self._rule()
        if call not in rules or offset < rules.get("after", 0):
            return False
        with self._lock:
            left = rules.get("left")
            if left == 0:
                return False
            if left:
                rules["left"] = left - 1
        return True

    def _tell(self, line: str) -> None:
        with Path(RULES).with_suffix(".calls").open("a") as file:
            file.write(line + "\n")

    def _refuse(self, call: str) -> None:
        raise fuse.FuseOSError(getattr(errno, self._rule()[call]))

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._behind(path))
        times = {f"st_{name}time": getattr(found, f"st_{name}time_ns") for name in "amc"}
        return {key: getattr(found, key) for key in STAT} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._behind(path))]

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._behind(path))
        return {key: getattr(found, key) for key in dir(found) if key.startswith("f_") and key != "f_fsid"}

    def open(self, path: str, flags: int) -> int:
        if self._fail("open"):
            self._refuse("open")
        return os.open(self._behind(path), flags & ~(os.O_DIRECT | os.O_APPEND))

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._behind(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if self._fail("read", offset + size - 1):
            self._refuse("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        rules = self._rule()
        if self._fail("write", offset + len(data) - 1):
            self._refuse("write")
        while self._rule().get("stuck"):
            time.sleep(0.05)
        flip = rules.get("flip", -1)
        if offset <= flip < offset + len(data) and rules.get("flips", 1):
            rules["flips"] = rules.get("flips", 1) - 1
            data = bytes([*data[: flip - offset], data[flip - offset] ^ 1, *data[flip - offset + 1 :]])
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        failed = self._fail("fsync")
        self._tell(f"{'fsync-failed' if failed else 'fsync'} {path}")
        if failed:
            self._refuse("fsync")
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._behind(path), length)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._behind(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._behind(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._behind(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        """The library does not pass the flags of renameat2 on: this is for tests that do not depend on them."""
        os.rename(self._behind(old), self._behind(new))
        self._tell(f"rename {new}")
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._behind(source), self._behind(target))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._behind(path), mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._behind(path), ns=times)
        return 0


fuse.FUSE(FaultyFileSystem(), PLACE, foreground=True, direct_io=True, default_permissions=True)
