"""Somebody swaps folders and files for links that lead out, as fast as they can, while everything is asked for:
never a byte outside is read or written."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.evidence import record

from .canary_tree import MARK, CanaryTree
from .gateway import Evil
from .test_paths_in_bodies import creation, settle
from .volley import Shot, fire
from .wire import CUT

V1 = "/api/v1"
FILES = f"{V1}/files/lab"
SIZE = 300_000


class Swapper(threading.Thread):
    """``dir`` is a folder and then a link to the one outside, ``dir/data`` a file and then a link; for ever."""

    def __init__(self, lab: Path, outside: Path) -> None:
        super().__init__(daemon=True)
        self.lab, self.outside, self.swaps = lab, outside, 0
        self._ended = threading.Event()

    def run(self) -> None:
        lab, away, link = self.lab, self.lab / "dir-away", self.lab / "dir-link"
        link.symlink_to(self.outside)
        while not self._ended.is_set():
            with suppress(OSError):
                os.rename(lab / "dir", away)
                os.rename(link, lab / "dir")
            self._ended.wait(0.0003)
            with suppress(OSError):
                os.rename(lab / "dir", link)
                os.rename(away, lab / "dir")
            self._swap_file()
            self.swaps += 1

    def _swap_file(self) -> None:
        """The name is a link for a moment, made by the one call that leaves no gap."""
        made = self.lab / "made-link"
        with suppress(OSError):
            made.symlink_to(self.outside / "canary.txt")
            os.rename(made, self.lab / "swapped")
        with suppress(OSError):
            (self.lab / "made-file").write_bytes(b"i" * SIZE)
            os.rename(self.lab / "made-file", self.lab / "swapped")

    def stop(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def around(evil: Evil) -> Iterator[CanaryTree]:
    lab = evil.lab
    (lab / "dir" / "sub").mkdir(parents=True)
    for name in ("data", "canary.txt", "sub/data"):
        (lab / "dir" / name).write_bytes(b"i" * SIZE)
    (lab / "swapped").write_bytes(b"i" * SIZE)
    tree = CanaryTree(evil.folder / "around", lab, (evil.folder / "around" / "peer",))
    (tree.top / "lab-outside" / "sub").mkdir(parents=True)
    (tree.top / "lab-outside" / "data").write_text(MARK)
    (tree.top / "lab-outside" / "sub" / "data").write_text(MARK)
    tree.plant()
    yield tree
    tree.close()


def shots(turn: int) -> list[Shot]:
    """Everything that opens a path, once."""

    def transfer(source: str, destination: str) -> Shot:
        body = {"files": [{"source": source, "destination": destination}], "overwrite": "overwrite"}
        return Shot("POST", f"{V1}/transfers", body)

    return [
        Shot("GET", f"{FILES}/dir/data"), Shot("GET", f"{FILES}/swapped"), Shot("GET", f"{FILES}/dir/"),
        Shot("GET", f"{FILES}/dir/canary.txt"), Shot("GET", f"{FILES}/?recursive=1"),
        Shot("GET", f"{FILES}/dir/?archive=zip"), Shot("GET", f"{FILES}/?archive=tar"),
        Shot("HEAD", f"{FILES}/dir/data"),
        Shot("PUT", f"{FILES}/dir/put{turn}", b"in"), Shot("PUT", f"{FILES}/dir/data?overwrite=overwrite", b"i" * SIZE),
        Shot("PUT", f"{FILES}/swapped?overwrite=overwrite", b"i"), Shot("POST", f"{FILES}/dir/new{turn}/deep/"),
        Shot("DELETE", f"{FILES}/dir/put{turn}"), Shot("DELETE", f"{FILES}/dir/canary.txt"),
        Shot("DELETE", f"{FILES}/dir/sub/"), Shot("DELETE", f"{FILES}/dir/file"),
        Shot("POST", f"{V1}/moves", {"source": "lab:/dir/data", "destination": f"lab:/dir/moved{turn}"}),
        Shot("POST", f"{V1}/moves",
             {"source": f"lab:/dir/moved{turn}", "destination": "lab:/dir/data", "overwrite": True}),
        Shot("POST", f"{V1}/moves", {"source": "lab:/swapped", "destination": f"lab:/dir/s{turn}"}),
        transfer("lab:/dir/", f"peer:/all{turn}/"), transfer("lab:/dir/data", f"peer:/one{turn}"),
        transfer("lab:/swapped", f"lab:/dir/copy{turn}"), transfer("lab:/swapped", f"peer:/swapped{turn}"),
        creation(destination=f"lab:/dir/up{turn}"),
        Shot("POST", f"{V1}/manifests", {"destination": f"lab:/dir/m{turn}/", "files": [{"path": "x/y", "size": 0}]}),
    ]  # fmt: skip


def is_archive_cut(fault: str) -> bool:
    """An archive whose folder becomes something else while it is sent must not look whole. It was answered, and what
    came of it was searched like everything else."""
    return "?archive=" in fault and fault.endswith(f": {CUT}")


def test_no_swap_leads_out(evil: Evil, around: CanaryTree, evil_factor: int) -> None:
    begun, bad, sent = time.monotonic(), [], 0
    swapper = Swapper(evil.lab, around.top / "lab-outside")
    swapper.start()
    try:
        while time.monotonic() - begun < 8 * evil_factor or swapper.swaps < 1000:
            volley = shots(sent)
            bad += [fault for fault in fire(evil, volley) if not is_archive_cut(fault)]
            sent += len(volley)
        settle(evil)
    finally:
        swapper.stop()
    traces, leaks = around.traces(), list(around.leaks())
    seconds = time.monotonic() - begun
    record("evil.race", runs=sent, bad=len(bad) + len(traces) + len(leaks), seconds=seconds, swaps=swapper.swaps)
    assert bad == []
    assert traces == []
    assert leaks == []
