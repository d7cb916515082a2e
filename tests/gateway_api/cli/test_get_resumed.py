"""``scigate get`` after its process was killed: it goes on, but never with bytes that it has not written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.exits import Exit
from scigate.gateway_api.client.download import part_path

MB = 1_000_000
KILLED = """
import os, signal, sys
from scigate.gateway_api.client import Gateway
total = 0
def received(count):
    global total
    total += count
    if total > 40_000_000:
        os.kill(os.getpid(), signal.SIGKILL)
Gateway().get(sys.argv[1], "got.raw", received=received)
"""


@pytest.mark.parametrize(("damaged", "resumed"), [(None, (50, 66)), (20 * MB, (25, 33)), (0, (0, 0))])
def test_a_killed_get_goes_on_with_what_is_undamaged(
    scigate: Any, gateway_process: Any, tmp_path: Path, damaged: int | None, resumed: tuple[int, int]
) -> None:
    data = os.urandom(60 * MB)
    (gateway_process.files("lab") / "killed.raw").write_bytes(data)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "lab:/killed.raw"],
        env=gateway_process.environment() | {"HOME": str(tmp_path)}, cwd=tmp_path, check=False, timeout=240,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    if damaged is not None:
        with part_path(tmp_path / "got.raw").open("r+b") as part:
            part.seek(damaged)
            part.write(bytes(byte ^ 1 for byte in data[damaged : damaged + 4]))
    ran = scigate("get", "lab:/killed.raw", "got.raw")
    assert ran.code == Exit.OK, ran.err
    assert (tmp_path / "got.raw").read_bytes() == data
    said = re.search(r"Resumed at (\d+) %\.", ran.err)
    assert resumed[0] <= int(said[1] if said else 0) <= resumed[1], ran.err
    assert [path.name for path in tmp_path.glob("*got.raw*")] == ["got.raw"]
