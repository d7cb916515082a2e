"""What is on its way from this machine, on disk, so that the same ``put`` goes on after the program was killed.

One file for each put, ``$XDG_STATE_HOME/scigate/uploads/<hash>.jsonl``: a line for each upload when it is created, and
one when it has been sent whole. The name is the hash of gateway, local path, destination and policy; no token is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from .errors import GatewayError, GatewayUnreachable, LocalFileError

STALE: Final = timedelta(days=8)  # longer than any gateway keeps an upload that nothing is added to


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that the gateway knows: of which file, as it was ``seen`` and when it was ``touched`` last (-1: that is
    not known), and as part of which transfer."""

    name: str  # below the folder that is put; of a single file: ""
    upload: str
    transfer: str
    seen: tuple[int, int, int]
    touched: int = -1


class Record:
    """The uploads of one put. Without a file (no folder to write to) it is kept in memory only. Thread-safe."""

    def __init__(self, descriptor: int | None, path: Path) -> None:
        self._descriptor, self._path = descriptor, path
        self._lock = threading.Lock()
        self.begun: dict[str, Begun] = {}
        self.sent: set[str] = set()
        self._nonce = ""
        self._read()
        if not self._nonce:
            self.renew()

    def key(self, request: str) -> str:
        """The Idempotency-Key of a request that creates uploads: the same one after a crash, so that what was created
        just before it is found again."""
        return hashlib.sha256(f"{self._nonce}\0{request}".encode("utf-8", "surrogatepass")).hexdigest()

    def renew(self) -> None:
        """From here on uploads are new ones, even those that are asked for like the earlier ones."""
        self._nonce = secrets.token_hex(16)
        self._append([{"nonce": self._nonce}])

    def add(self, begun: Iterable[Begun]) -> None:
        """Remember uploads, also over a power cut, before their first byte is sent."""
        found = list(begun)
        self.begun |= {each.name: each for each in found}
        self.sent -= {each.name for each in found}
        self._append([asdict(each) for each in found], durable=True)

    def finish(self, name: str) -> None:
        """The gateway has all bytes of this one."""
        self.sent.add(name)
        self._append([{"sent": name}])

    def forget(self, name: str) -> None:
        """This upload is of no use any more."""
        self.begun.pop(name, None)
        self.sent.discard(name)
        self._append([{"gone": name}])
        self.renew()

    def remove(self) -> None:
        """Nothing is left to go on with."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink()

    def close(self) -> None:
        """Let go of the file; threads that still send are not written down any more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def _append(self, lines: list[dict[str, Any]], *, durable: bool = False) -> None:
        data = "".join(json.dumps(line) + "\n" for line in lines).encode("ascii")
        with self._lock, suppress(OSError):  # a full disk here is no reason not to send
            if self._descriptor is not None:
                os.write(self._descriptor, data)
                if durable:
                    os.fsync(self._descriptor)

    def _read(self) -> None:
        if self._descriptor is None:
            return
        with open(os.dup(self._descriptor), "rb") as file:
            lines = file.readlines()
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # a kill may have cut a line off
                self._take(json.loads(line))
        if lines and not lines[-1].endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def _take(self, line: dict[str, Any]) -> None:
        if "nonce" in line:
            self._nonce = str(line["nonce"])
        elif "sent" in line:
            self.sent.add(line["sent"])
        elif "gone" in line:
            self.begun.pop(line["gone"], None)
            self.sent.discard(line["gone"])
        else:
            self.begun[line["name"]] = Begun(**{**line, "seen": tuple(line["seen"])})
            self.sent.discard(line["name"])


@contextmanager
def opened(gateway: str, source: Path, destination: str, overwrite: str) -> Iterator[Record]:
    """The record of this put, for this process alone. ``LocalFileError`` if another one sends the same just now."""
    path = _folder() / f"{_hash(gateway, os.path.realpath(source), destination, overwrite)}.jsonl"
    record = Record(_locked(path, source), path)
    _remove_stale(path)
    try:
        yield record
    except GatewayError as error:
        # If the answer was lost, there may be an upload; the key of its request finds it again.
        if not record.begun and not isinstance(error, GatewayUnreachable):
            record.remove()
        raise
    finally:
        record.close()


def _folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "scigate" / "uploads"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _locked(path: Path, source: Path) -> int | None:
    """The open file, locked; None where none can be had."""
    while True:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except (OSError, RuntimeError):  # RuntimeError: there is no home
            return None
        if _lock(descriptor, source) and _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int, source: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LocalFileError(
            f"{str(source)!r} is being sent to this destination by another program of yours.",
            next_step="Wait for it, or end it; then the same command goes on where it stopped.",
        ) from None
    except OSError:  # a filesystem without locks
        pass
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether it has its name still: who held it before may just have removed it."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _remove_stale(own: Path) -> None:
    """Clear up what nobody came back for; the gateway has given it up long since."""
    for path in own.parent.glob("*.jsonl"):
        with suppress(OSError):
            if path != own and time.time() - path.stat().st_mtime > STALE.total_seconds():
                path.unlink()
