"""Whether an error lets go of who met it: what that one held open is closed then, not when the collector comes by."""

from __future__ import annotations

import contextlib
import gc
import time
import weakref
from collections.abc import Callable, Iterator


class Held:
    """Something that is open."""


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def lets_go(act: Callable[[], object], error: type[Exception]) -> bool:
    """Whether whoever called ``act``, which raises ``error``, is forgotten without the garbage collector. Waits for
    threads that let go a moment later."""
    with without_collector():
        met = _meet(act, error)
        end = time.monotonic() + 30
        while met() is not None and time.monotonic() < end:
            time.sleep(0.01)
        return met() is None


def _meet(act: Callable[[], object], error: type[Exception]) -> weakref.ref[Held]:
    held, raised = Held(), True
    with contextlib.suppress(error):
        act()
        raised = False
    assert raised, "it has not failed"
    return weakref.ref(held)
