"""Secrets of webhooks, and signatures by Standard Webhooks 1.0 (the specification, sections "Signature scheme" and
"Webhook headers").

No secret is stored: each is derived from the gateway's one master key and the webhook's id, so a copy of the database
signs nothing. The master key is in the settings, or in a file of the state directory that is made at the first start.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scigate.storage_backends.credential import Secret

from ..settings import SHORTEST_KEY
from ..settings_errors import SettingsError

FILE_NAME: Final = "secret.key"
_FOR_WEBHOOKS: Final = b"scigate webhook 1\0"
_FOR_NAME: Final = b"scigate name of the key\0"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The key that all others are derived from. ``name`` tells keys apart and gives nothing away."""

    key: Secret

    @property
    def name(self) -> str:
        return self.derived(_FOR_NAME).hex()[:16]

    def signing_key(self, webhook: str) -> bytes:
        """The 32 bytes that sign what is sent to this webhook."""
        return self.derived(_FOR_WEBHOOKS + webhook.encode("ascii"))

    def shown(self, webhook: str) -> str:
        """The same as its owner is shown it, once."""
        return "whsec_" + base64.b64encode(self.signing_key(webhook)).decode("ascii")

    def derived(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for this purpose alone."""
        return hmac.digest(self.key.reveal().encode("utf-8"), purpose, hashlib.sha256)


def signed(key: bytes, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that go with ``body``: ``id`` stays the same over all tries, ``timestamp`` is that of this try."""
    signature = hmac.digest(key, f"{id}.{timestamp}.".encode("ascii") + body, hashlib.sha256)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(signature).decode("ascii"),
    }


def master_key(folder: Path, configured: Secret | None) -> MasterKey:
    """The key of the settings, else of the file ``secret.key`` in ``folder``, made if it is not there.

    ``SettingsError`` if others can read the file, or it cannot be a key.
    """
    return MasterKey(configured) if configured is not None else MasterKey(_from_file(folder / FILE_NAME))


def _from_file(path: Path) -> Secret:
    try:
        _make(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    return read_key(path)


def read_key(path: Path) -> Secret:
    """The key in a file. ``SettingsError`` if it is not there, others can read it, or it cannot be a key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor) as file:
            mode = os.fstat(descriptor).st_mode
            text = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _refused(path, f"others can read it. Run: chmod 600 {path}")
    if len(text) < SHORTEST_KEY:
        raise _refused(
            path, "it is too short for a key. Restore it from a backup; without it, webhooks must be made anew"
        )
    return Secret(text)


def _make(path: Path) -> None:
    """A new key, whole or not at all: written aside and linked to its name, so a kill leaves no half of one."""
    if path.exists() or path.is_symlink():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass  # somebody else made one in this moment: that one is taken
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: Exception) -> SettingsError:
    reason = getattr(error, "strerror", None) or "it is not text"
    return _refused(path, f"it cannot be read: {reason}. Correct that, or restore it from a backup")


def _refused(path: Path, why: str) -> SettingsError:
    return SettingsError("The master key", [f"{path}: {why}."])
