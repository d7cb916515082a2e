"""``scigate serve`` ends when it is asked to."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = "from scigate.gateway_api.cli import main; main()"


def test_a_signal_that_another_thread_is_given_is_heard(tmp_path: Path) -> None:
    """Which thread it goes to the kernel decides (signal(7)); Python acts when the main one runs."""
    (tmp_path / "scigate.toml").write_text(f"[gateway]\nport = 0\nstate_dir = {json.dumps(str(tmp_path / 'state'))}\n")
    words = ["serve", "--json", "--config", str(tmp_path / "scigate.toml")]
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=subprocess.PIPE, stderr=log)
    try:
        assert gateway.stdout is not None
        assert json.loads(gateway.stdout.readline())["url"]
        others = {int(task) for task in os.listdir(f"/proc/{gateway.pid}/task")} - {gateway.pid}
        assert any(_tell(gateway.pid, other, signal.SIGTERM) == 0 for other in others), "all of them have ended"
        assert gateway.wait(120) == 0, (tmp_path / "log").read_text()
    finally:
        gateway.kill()
        gateway.communicate()


def _tell(process: int, thread: int, number: int) -> int:
    """tgkill(2)."""
    return ctypes.CDLL(None, use_errno=True).tgkill(process, thread, number)  # type: ignore[no-any-return]
