"""The folder of the gateway's state: for its owner only, for one gateway at a time, and for nothing else."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)
LOCK: Final = "lock"
GATEWAY_ID: Final = "gateway-id"
LOOK: Final = 0.3  # seconds, in which who looks at the lock is through
AGAIN: Final = 0.01  # seconds
OURS: Final = re.compile(r"lock|gateway-id|scigate\.db|staging|jobs|home-.*")
"""One of these is there since the first start; the last two are what the Jupyter Server extension keeps beside it."""
EMPTY: Final = {"lost+found"}
"""A volume of its own begins with it."""


def is_open(folder: Path) -> bool:
    """Whether others than its owner may look into it."""
    return bool(_mode(folder) & 0o077)


def holds_other_things(folder: Path) -> bool:
    """Whether it was made for something else, such as /var/lib: then its mode is not ours to change."""
    names = {path.name for path in folder.iterdir()} - EMPTY
    return bool(names) and not any(map(OURS.fullmatch, names))


def advice(folder: Path) -> str:
    """What to do about an open folder that holds other things."""
    return f"Set gateway.state_dir to a folder of its own, such as {folder / 'scigate'}."


def make_private(folder: Path) -> None:
    """What is in the folder is for its owner only: people's data on their way, and the key of the webhooks."""
    if not is_open(folder):
        return
    mode = _mode(folder)
    try:
        folder.chmod(0o700)
        log.warning("gateway.state_dir: %s was open to others (mode %04o); it is 0700 now", folder, mode)
    except PermissionError:
        log.warning("gateway.state_dir: %s is open to others (mode %04o); make it 0700, its owner can", folder, mode)


def claim(folder: Path) -> int | None:
    """A lock on the folder, as a descriptor: two gateways would remove each other's uploads. None: another has it, for
    longer than a Jupyter Server does that only looks whether it is held.

    Raises ``OSError``.
    """
    descriptor, end = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), time.monotonic() + LOOK
    while not _take(descriptor):
        if time.monotonic() > end:
            os.close(descriptor)
            return None
        time.sleep(AGAIN)
    return descriptor


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)
