"""A plug-in that cannot be imported is told by the gateway itself, at start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = "from scigate.gateway_api.cli import main; main()"


@pytest.mark.parametrize("used", [False, True])
def test_serve_logs_a_broken_plugin_once_as_json(tmp_path: Path, used: bool) -> None:
    (tmp_path / "shelf_plugin.py").write_text("raise RuntimeError('no tape drive')\n")
    dist = tmp_path / "shelf_plugin-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-plugin\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[scigate.storage_backends]\nshelf = shelf_plugin:TYPE\n")
    storage = '[storages.tapes]\ntype = "shelf"\n' if used else ""
    gone = f'[storages.gone]\ntype = "posix"\nroot = {json.dumps(str(tmp_path / "gone"))}\n'
    settings = f"[gateway]\nport = 0\nstate_dir = {json.dumps(str(tmp_path / 'state'))}\n{storage}{gone}"
    (tmp_path / "scigate.toml").write_text(settings)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--config", str(tmp_path / "scigate.toml")],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "LANG": "C.UTF-8"},
        )  # fmt: skip
    try:
        records = _records(log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    told = [record["message"] for record in records]
    assert len([message for message in told if "'shelf' set aside" in message and "no tape drive" in message]) == 1
    assert [message for message in told if "'gone'" in message and "make or mount" in message.lower()]


def _records(log: Path, process: subprocess.Popen[bytes]) -> list[dict[str, str]]:
    """What it has logged, each line JSON, once it listens and has looked at its storages."""
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        lines = [line for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
        text = "".join(lines)
        if "listens on" in text and "'gone'" in text:
            break
        time.sleep(0.05)
    plain = [line for line in log.read_text().split("\n")[:-1] if not line.startswith("{")]
    assert not [line for line in plain if "shelf" in line], plain
    return [json.loads(line) for line in lines]
