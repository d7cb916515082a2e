"""One request that appends to an upload: what it has told as stored is there after any crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .model import UploadStatus


class Preempted(Exception):
    """A newer request has taken this upload over: close the connection, and say nothing more."""


class Writer:
    """One request that appends. Its methods are called one after the other, ``has_room`` also from the event loop."""

    on_preempt: Callable[[], None]
    """Called from another thread, once, when a newer request has taken over: close the connection."""

    def has_room(self, count: int) -> bool:
        """Whether the next ``count`` bytes fit; if so, their room is reserved. Never blocks."""
        raise NotImplementedError

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append. Raises ``Preempted``, ``NoSpace``, or ``Problem`` 413 for more than was announced."""
        raise NotImplementedError

    def finish(self) -> UploadStatus:
        """The body has ended as it should: compare, make durable, record."""
        raise NotImplementedError

    def abort(self) -> UploadStatus:
        """The body was broken off: keep what came."""
        raise NotImplementedError
