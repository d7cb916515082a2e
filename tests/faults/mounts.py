"""File systems that are small, frail or faulty, mounted for one test and gone with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("faulty_fs.py")


class Mounts:
    """Makes mount points below ``folder``; ``close`` unmounts what is left. Where this cannot be done the test is
    skipped; ``require`` does that for missing programs."""

    def __init__(self, folder: Path, require: Callable[[str], Path]) -> None:
        self._folder, self._require = folder, require
        self._mounted: list[Path] = []
        self._programs: dict[Path, subprocess.Popen[bytes]] = {}
        self._folder.mkdir()

    def require(self) -> None:
        """Skip the test if nobody may mount here."""
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount file systems")

    def tmpfs(self, name: str, **options: object) -> Path:
        """A file system in memory: ``size="4m"``, ``nr_inodes=20``."""
        words = ",".join(f"{key}={value}" for key, value in options.items())
        return self._mount(name, "-t", "tmpfs", "-o", words, "none")

    def ext4(self, name: str, size: int = 48 << 20) -> Path:
        """ext4 on a loop device."""
        self._require("e2fsprogs")
        image = self._folder / f"{name}.img"
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
        place = self._mount(name, "-o", "loop", str(image))
        (place / "lost+found").rmdir()
        return place

    def again(self, place: Path) -> None:
        """Mount an ext4 that was unmounted."""
        self._mount(place.name, "-o", "loop", str(self._folder / f"{place.name}.img"))

    def remount(self, place: Path, how: str) -> None:
        """``ro``, ``rw``, ``size=8m`` …"""
        subprocess.run(["mount", "-o", f"remount,{how}", place], check=True, capture_output=True)

    def unmount(self, place: Path) -> None:
        """At once, whoever still uses it."""
        if place in self._mounted:
            self._mounted.remove(place)
            subprocess.run(["umount", "-l", place], check=True, capture_output=True)
        if process := self._programs.pop(place, None):
            process.kill()  # it would live for as long as somebody has a file of it open
            process.wait(60)

    def faulty(self, name: str) -> Faulty:
        """A file system that does what its rules say; see faulty_fs.py."""
        if not Path("/dev/fuse").exists():
            pytest.skip("needs /dev/fuse")
        self._require("fuse3")
        behind, place = self._folder / f"{name}.behind", self._folder / name
        behind.mkdir()
        place.mkdir()
        rules = self._folder / f"{name}.rules"
        rules.write_text("{}")
        log = self._folder / f"{name}.log"
        with log.open("wb") as out:
            command = [sys.executable, PROGRAM, behind, place, rules]
            self._programs[place] = subprocess.Popen(command, stdout=out, stderr=out)
        end = time.monotonic() + 120
        while not place.is_mount():
            if self._programs[place].poll() is not None or time.monotonic() > end:
                pytest.skip(f"FUSE does not mount: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)
        self._mounted.append(place)
        return Faulty(place, behind, rules)

    def close(self) -> None:
        for place in list(self._mounted):
            self.unmount(place)
        for process in self._programs.values():
            process.kill()
            process.wait(60)

    def _mount(self, name: str, *words: str) -> Path:
        place = self._folder / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *words, place], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"may not mount: {done.stderr.decode().strip()}")
        self._mounted.append(place)
        return place


class Faulty:
    """A mounted faulty file system: ``place`` is what the gateway sees, ``behind`` what is really stored."""

    def __init__(self, place: Path, behind: Path, rules: Path) -> None:
        self.place, self.behind, self._rules = place, behind, rules

    def rules(self, **rules: Any) -> None:
        """From now on only these hold."""
        new = self._rules.with_suffix(".new")
        new.write_text(json.dumps(rules))
        new.replace(self._rules)

    def calls(self) -> list[str]:
        """What it was asked, one line each: ``fsync path``, ``fsync-failed path`` …"""
        log = self._rules.with_suffix(".calls")
        return log.read_text().splitlines() if log.exists() else []
