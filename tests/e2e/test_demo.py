"""``scigate demo`` as its users run it, with a smaller large file: real services, real data, an independent check."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

SIZE = 64 << 20
RUN = "import sys; from scigate.gateway_api.demo import run; sys.exit(run(once={once}, size={size}))"


def start(folder: Path, *, once: bool) -> subprocess.Popen[str]:
    """The demo as a process, working below ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN.format(once=once, size=SIZE)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_once_moves_everything_checks_it_and_leaves_nothing(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("seaweedfs")
    demo = start(tmp_path, once=True)
    children = _children_while_running(demo)
    said, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said
    for job, files in {"URL → S3": 2, "this machine → S3": 1, "cut twice → S3": 1, "S3 folders → POSIX": 3}.items():
        assert re.search(rf"{job} +{files} .* (A|B|C) +{files} equal", said), said
    assert re.search(r"POSIX folder → S3 +(\d+) .* \1 equal", said), said
    assert re.search(r"connection reset at \d+ %, resumed at \d+ %", said), said
    assert re.search(r"gateway killed \(SIGKILL\) and started again at \d+ %, resumed at \d+ %", said), said
    assert "WRONG" not in said
    assert list(tmp_path.iterdir()) == []
    assert _alive(children) == []


@pytest.mark.long
def test_it_stays_up_until_ctrl_c(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("seaweedfs")
    demo = start(tmp_path, once=False)
    assert demo.stdout is not None
    said = ""
    while "scigate show" not in said:
        line = demo.stdout.readline()
        assert line, f"it ended by itself:\n{said}"
        said += line
    address = re.search(r"(http://[\d.:]+)/docs", said)
    assert address, said
    token = tmp_path / ".demo" / "token"
    assert token.stat().st_mode & 0o077 == 0
    assert token.read_text() not in said
    request = urllib.request.Request(f"{address[1]}/docs", headers={"Authorization": f"Bearer {token.read_text()}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert b"<html" in answer.read().lower()
    children = [child.pid for child in psutil.Process(demo.pid).children(recursive=True)]
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, said
    assert list(tmp_path.iterdir()) == []
    assert len(children) >= 2
    assert _alive(children) == []


def test_being_killed_takes_its_services_along(tmp_path: Path, require: Callable[[str], Path]) -> None:
    require("seaweedfs")
    demo = start(tmp_path, once=False)
    children = _children_while_running(demo)
    demo.kill()
    demo.communicate(timeout=120)
    end = time.monotonic() + 120
    while _alive(children) and time.monotonic() < end:
        time.sleep(0.1)
    assert _alive(children) == []


def _children_while_running(demo: subprocess.Popen[str]) -> list[int]:
    """The process ids of the S3 server and the gateway, as soon as both run."""
    end = time.monotonic() + 240
    while time.monotonic() < end and demo.poll() is None:
        children = psutil.Process(demo.pid).children(recursive=True)
        if len(children) >= 2 and not any(_is_starting(child, demo) for child in children):
            return [child.pid for child in children]
        time.sleep(0.05)
    pytest.fail(f"the services did not start: {demo.communicate(timeout=120)[0]}")


def _is_starting(child: psutil.Process, demo: subprocess.Popen[str]) -> bool:
    """Whether it is not yet the program that ends with the demo, but still a copy of that, or what sees to it."""
    try:
        words = child.cmdline()
    except psutil.Error:
        return True
    return not words or words[0].endswith("setpriv") or words == demo.args


def _alive(pids: list[int]) -> list[int]:
    return [process.pid for process in psutil.process_iter(["status"]) if process.pid in pids and _runs(process)]


def _runs(process: psutil.Process) -> bool:
    return process.info["status"] != psutil.STATUS_ZOMBIE  # type: ignore[attr-defined]
