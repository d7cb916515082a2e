"""Crash points of rows: ``NAME:written`` in the transaction that changes them, ``NAME:committed`` when it is durable.

What is undone is never called committed. See ``scigate.storage_backends.crash_points``.
"""

from __future__ import annotations

from typing import Final

from scigate.storage_backends.crash_points import is_armed, reached
from sqlalchemy import Connection

_WAITING: Final = "crash points that wait for the commit"


def written(connection: Connection, *names: str) -> None:
    """A job has made the changes called ``names``, and they are not committed yet."""
    if is_armed():
        _waiting(connection).extend(names)
        for name in names:
            reached(f"{name}:written")


def mark(connection: Connection) -> int:
    """How many changes wait for the commit: where ``undone`` goes back to."""
    return len(_waiting(connection)) if is_armed() else 0


def undone(connection: Connection, since: int = 0) -> None:
    """The changes behind ``since`` are rolled back, or, without it, a transaction begins."""
    if is_armed():
        del _waiting(connection)[since:]


def committed(connection: Connection) -> None:
    """All that waited is durable now."""
    if is_armed():
        names = _waiting(connection)
        for name in dict.fromkeys(names):
            reached(f"{name}:committed")
        names.clear()


def _waiting(connection: Connection) -> list[str]:
    names: list[str] = connection.info.setdefault(_WAITING, [])
    return names
