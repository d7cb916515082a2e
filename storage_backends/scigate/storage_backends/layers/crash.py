"""Crash points before and after whatever changes a storage; there only while a plan is armed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ..backend import Extras
from ..crash_points import reached
from .layer import Layer

T = TypeVar("T")

CHANGES: Final = frozenset(
    {"put", "draft", "write", "seal", "publish", "discard", "abandon", "delete", "copy", "move", "mkdir", "sync"}
)
"""The operations that leave something at the storage, take something away, or make it durable."""


class CrashLayer(Layer):
    """Says when an operation begins and when it has succeeded: ``put:before``, ``put:after``."""

    @property
    def extras(self) -> Extras:
        return self.wrapped

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        if operation not in CHANGES:
            return run()
        reached(f"{operation}:before")
        result = run()
        reached(f"{operation}:after")
        return result
