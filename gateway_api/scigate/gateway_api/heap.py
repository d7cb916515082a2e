"""What the C library keeps of memory that nobody uses any more goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any


def give_back() -> None:
    """Let the system have the pages that are free in the C library's heap (malloc_trim(3)); without glibc, nothing.

    Blocks of files are taken and left by many threads, each with an arena of its own, and what is free in the middle
    of one would stay: 95 MiB of 240 after ten minutes with a mixed load, while what is in use does not grow.
    """
    if _trim is not None:
        _trim(0)


def _found() -> Callable[[int], Any] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None


_trim = _found()
