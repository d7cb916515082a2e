"""What lies around the root of a storage, watched: who opens, lists, changes or removes any of it leaves a trace."""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MARK: Final = "CANARY-OUTSIDE-THE-ROOT"
_EVENT: Final = struct.Struct("iIII")
ACCESS, MODIFY, ATTRIB, OPEN = 0x1, 0x2, 0x4, 0x20
MOVED, CREATE, DELETE, OVERFLOW = 0xC0, 0x100, 0x200, 0x4000
WATCHED: Final = ACCESS | MODIFY | ATTRIB | OPEN | MOVED | CREATE | DELETE
NAMES: Final = {ACCESS: "read", MODIFY: "written", ATTRIB: "changed", OPEN: "opened", 0x40: "moved away",
                0x80: "moved in", CREATE: "created", DELETE: "deleted", OVERFLOW: "too much at once"}  # fmt: skip


@dataclass
class CanaryTree:
    """Files around ``root``, which lies inside the tree. Only what happens at or below the root is allowed."""

    top: Path
    root: Path
    also_inside: tuple[Path, ...] = ()
    _watches: dict[int, Path] = field(default_factory=dict)
    _before: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def plant(self) -> None:
        """Make the files: beside the root, above it, and beside it with its name as a prefix."""
        for folder in (self.top, self.top / "etc", self.root.parent, self.root.with_name(self.root.name + "-outside")):
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("canary.txt", "passwd", "file"):
                (folder / name).write_text(f"{MARK} {folder.name}\n")
        self._before = dict(self._state())
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._fd >= 0
        for path in [self.top, *self._outside()]:
            if path.is_dir():
                watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), WATCHED)
                assert watch >= 0, os.strerror(ctypes.get_errno())
                self._watches[watch] = path

    def traces(self) -> list[str]:
        """What was done to anything outside the root since ``plant``, or since this was last asked."""
        seen = [*self._events(), *self._differences()]
        self._events_of_ours()
        return seen

    def leaks(self) -> Iterator[str]:
        """Files inside that hold what lies outside."""
        # os.walk cannot, with folders 2,000 deep
        command = ["grep", "-rlaFZ", "--devices=skip", "-e", MARK, "--", self.root, *self.also_inside]
        found = subprocess.run(command, capture_output=True, check=False)
        assert found.returncode in (0, 1), found.stderr
        for path in found.stdout.split(b"\0")[:-1]:
            yield f"{path!r} holds what lies outside"

    def close(self) -> None:
        os.close(self._fd)

    def _events(self) -> Iterator[str]:
        inside = {self.root, *self.also_inside}
        while data := self._read():
            offset = 0
            while offset < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size
                name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
                offset += length
                folder = self._watches.get(watch, self.top)
                if name and folder / name in inside:
                    continue
                what = [text for bit, text in NAMES.items() if mask & bit]
                yield f"{folder / name} was {', '.join(what)}"

    def _events_of_ours(self) -> None:
        """Comparing reads the files as well."""
        while self._read():
            pass

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return b""

    def _differences(self) -> Iterator[str]:
        now = dict(self._state())
        for path in sorted(self._before.keys() | now.keys()):
            if self._before.get(path) != now.get(path):
                yield f"{path} differs: {self._before.get(path)} → {now.get(path)}"
        self._before = now

    def _outside(self) -> Iterator[Path]:
        def below(folder: Path) -> Iterator[Path]:
            for path in sorted(folder.iterdir()):
                if path == self.root or path in self.also_inside:
                    continue
                yield path
                if path.is_dir() and not path.is_symlink():
                    yield from below(path)

        yield from below(self.top)

    def _state(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for path in self._outside():
            found = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(found.st_mode) else ""
            times = (found.st_mtime_ns, found.st_ctime_ns)
            yield str(path), (found.st_mode, found.st_size, found.st_nlink, found.st_ino, *times, content)
