"""A storage that can be read and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from ..backend import Buffer, Digests, Entry, Extras, Limits
from ..errors import Unsupported
from .layer import Layer


class ReadOnlyLayer(Layer):
    """Passes on what reads; everything else is ``Unsupported``."""

    @property
    def limits(self) -> Limits:
        return replace(self.inner.limits, read_only=True)

    @property
    def extras(self) -> Extras:
        inner = self.inner.extras
        return Extras(digest=inner.digest, presign=inner.presign)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        _refuse(path)

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> NoReturn:
        _refuse(path)

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        _refuse(path)

    def delete(self, path: str) -> None:
        _refuse(path)


def _refuse(path: str) -> NoReturn:
    raise Unsupported(
        "this storage is read-only here",
        path=path,
        next_step="Choose another storage, or ask the administrator to open this one for writing (read_only = false).",
    )
