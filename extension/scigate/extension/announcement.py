"""Where the gateway that a Jupyter Server hosts is told to its user's other Jupyter Servers, and to kernels.

Two files of mode 0600 beside the gateway's lock, in its state folder: ``jupyter-gateway.json`` with its address, and
``jupyter-token-<port>`` with the token, which is another one at each start. A token is kept by the port that it is for:
who was told an earlier port, which may be another user's by now, finds no token to show there.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Final

GATEWAY: Final = "jupyter-gateway.json"
TOKEN: Final = "jupyter-token"  # noqa: S105 where it is, not what it is
LOCK: Final = "lock"


class Announcement:
    """What is told in one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, url: str, token: str) -> None:
        """Tell it; each file is whole at any moment."""
        self.withdraw()
        _write(self.token_file_of(url), token + "\n")
        _write(self.folder / GATEWAY, json.dumps({"url": url, "pid": os.getpid(), "host": socket.gethostname()}) + "\n")

    def withdraw(self) -> None:
        """The gateway ends."""
        for path in self.folder.glob(f"{TOKEN}*"):
            path.unlink(missing_ok=True)

    def token_file_of(self, url: str) -> Path:
        """Where the token for this address is."""
        return self.folder / f"{TOKEN}-{url.rpartition(':')[2]}"

    def is_ours(self, path: str) -> bool:
        """Whether a token file is one of these."""
        return Path(path).parent == self.folder and Path(path).name.startswith(TOKEN)

    @property
    def url(self) -> str | None:
        """Where it is, or was when it ended."""
        return self._told("url")

    @property
    def machine(self) -> str | None:
        """Where that address means the gateway, if it is another machine, which shares the folder."""
        host = self._told("host")
        return None if host == socket.gethostname() else host

    @property
    def token(self) -> str | None:
        try:
            return self.token_file_of(self.url or "").read_text("ascii").strip() or None
        except (OSError, ValueError):
            return None

    def _told(self, name: str) -> str | None:
        try:
            found = json.loads((self.folder / GATEWAY).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return str(found[name]) if isinstance(found, dict) and name in found else None

    def is_locked(self) -> bool:
        """Whether a gateway runs in this folder."""
        try:
            descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def port(self, wanted: int = 0) -> int:
        """A free port to listen on: the same as last time, so that kernels find the gateway again; else ``wanted``."""
        last = (self.url or "").rpartition(":")[2]
        before = int(last) if last.isdecimal() and 1024 <= int(last) < 65536 else 0
        return (before and _free(before)) or (wanted and _free(wanted)) or _free(0) or 0


def new_token() -> str:
    """What proves to the hosted gateway that its user asks."""
    return secrets.token_urlsafe(32)


def _free(port: int) -> int | None:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        bound: int = probe.getsockname()[1]
        return bound


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    new.replace(path)
