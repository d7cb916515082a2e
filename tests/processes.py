"""Programs that tests start: on a free port, waited for until they answer, and stopped by their own process id."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from scigate.storage_backends.testing.servers import free_ports


def free_port() -> int:
    """A loopback port on which nobody listens, and which the kernel gives to no outgoing connection."""
    (port,) = free_ports(1)
    return port


def await_answer(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 150) -> None:
    """Until ``url`` answers that all is well; fails with the end of the log if the process ends before, or is late."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer:\n{log.read_text(errors='replace')[-4000:]}")


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> None:
    """Ask it to end, with patience; kill it if it does not."""
    process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
