"""Traefik with its files in a folder that only the hub can read: they hold the hash of a password."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy

PATIENCE: Final = 10.0  # seconds for a Traefik that is left over to end


class PrivateTraefik(TraefikFileProviderProxy):  # type: ignore[misc]  # it has no types
    """As the class it comes from, with the same settings; it makes the folders of its files.

    A hub that was killed leaves its Traefik behind, which holds the port of the next one, and rules with the password
    of that one, which would win over ours: both are done away with first. The hub knows all routes itself.
    """

    async def start(self) -> None:
        """Start Traefik."""
        for name in (self.static_config_file, self.dynamic_config_file):
            Path(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(end_leftover, self._pid_file, os.path.abspath(self.static_config_file))
        Path(self.dynamic_config_file).unlink(missing_ok=True)
        await super().start()

    def _start_traefik(self) -> None:
        """Noted at once: the hub may be killed while it waits until Traefik answers."""
        super()._start_traefik()
        self._pid_file.write_text(str(self.traefik_process.pid))

    async def stop(self) -> None:
        """End Traefik."""
        await super().stop()
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return Path(self.static_config_file).with_suffix(".pid")


def end_leftover(pid_file: Path, config: str) -> None:
    """End the process that ``pid_file`` names, if it is one that was started with ``config``."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return
    if config not in _command(pid):
        return
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while _command(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if _command(pid):
            os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> list[str]:
    """The words a process was started with; none if there is no such process, or only its remains (a zombie)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []
