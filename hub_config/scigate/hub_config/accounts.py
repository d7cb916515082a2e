"""A file of users with scrypt passwords and groups, for demonstrations and small hubs."""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import scrypt
from pathlib import Path
from typing import Any, Final

N, R, P = 2**14, 8, 1  # 16 MiB and some 50 ms for each try (OWASP, password storage)
SALT: Final = 16  # bytes
SHORTEST: Final = 8  # characters of a password
NOBODY: Final = f"scrypt${'00' * SALT}${'00' * 64}"
"""Compared with when there is no such user, so that the time does not tell."""


class AccountsError(Exception):
    """The file of users cannot be used; a sentence that says why."""


@dataclass(frozen=True)
class Account:
    """One user of the file. ``password`` is a hash."""

    password: str
    groups: tuple[str, ...] = ()
    admin: bool = False
    display_name: str = ""


class Accounts:
    """The users of one file, read anew each time, so that a change needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, Account]:
        """Every user by name. ``AccountsError`` if the file is there and cannot be read, or others can."""
        try:
            text = self._path.read_text("utf-8")
            others = self._path.stat().st_mode & 0o077
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise AccountsError(f"{self._path} cannot be read: {error}") from None
        if others:
            raise AccountsError(f"others can read {self._path}: run 'chmod 600 {self._path}'")
        return self._parsed(text)

    def _parsed(self, text: str) -> dict[str, Account]:
        try:
            return {name: _account(entry) for name, entry in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError, KeyError):
            raise AccountsError(f"{self._path} is no file of users; make one with scigate.hub_config.users") from None

    def find(self, name: str) -> Account | None:
        """The user, or None."""
        return self.all().get(name)

    def proven(self, name: str, password: str) -> Account | None:
        """The user if this is the password, else None; it takes as long for users who do not exist."""
        account = self.find(name)
        right = matches(password, account.password if account else NOBODY)
        return account if right else None

    def add(self, name: str, account: Account) -> None:
        """Add or replace a user."""
        with self._changing() as users:
            users[name] = account

    def change(self, name: str, **changes: Any) -> None:
        """Change some fields of a user. ``AccountsError`` if there is none."""
        with self._changing() as users:
            users[name] = replace(self._known(users, name), **changes)

    def remove(self, name: str) -> None:
        """Take a user out. ``AccountsError`` if there is none."""
        with self._changing() as users:
            self._known(users, name)
            del users[name]

    def _known(self, users: dict[str, Account], name: str) -> Account:
        if name not in users:
            raise AccountsError(f"there is no user {name!r} in {self._path}")
        return users[name]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Account]]:
        """One change at a time, and a reader sees the file before or after it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = self.all()
            yield users
            self._write(json.dumps({name: asdict(user) for name, user in sorted(users.items())}, indent=1))
        finally:
            os.close(lock)

    def _write(self, text: str) -> None:
        number, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")  # mode 0600
        with os.fdopen(number, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(number)
        os.replace(name, self._path)


def hashed(password: str, salt: bytes | None = None) -> str:
    """``scrypt$salt$hash`` in hexadecimal."""
    salt = salt if salt is not None else secrets.token_bytes(SALT)
    return f"scrypt${salt.hex()}${scrypt(password.encode(), salt=salt, n=N, r=R, p=P, dklen=64).hex()}"


def matches(password: str, reference: str) -> bool:
    """Whether ``reference`` was made from this password."""
    salt = reference.split("$")[1]
    return hmac.compare_digest(hashed(password, bytes.fromhex(salt)), reference)


def _account(entry: dict[str, Any]) -> Account:
    account = Account(**{**entry, "groups": tuple(entry.get("groups", ()))})
    kind, salt, _ = account.password.split("$")
    if kind != "scrypt" or len(bytes.fromhex(salt)) < SALT:
        raise ValueError("not a hash of ours")
    return account
