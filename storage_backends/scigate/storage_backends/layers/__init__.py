"""Layers around a backend, one concern each, put together in one place."""

from __future__ import annotations

from collections.abc import Iterable

from ..backend import Backend
from ..crash_points import is_armed
from .chaos import ChaosLayer, Fault
from .crash import CrashLayer
from .hidden import HiddenLayer
from .layer import Layer
from .limit import LimitLayer
from .meter import Meter, MeterLayer, Totals
from .pace import PaceLayer
from .readonly import ReadOnlyLayer
from .retry import RetryLayer
from .subtree import SubtreeLayer

__all__ = ["Fault", "Layer", "Meter", "Totals", "compose"]


def compose(
    backend: Backend,
    *,
    faults: Iterable[Fault] = (),
    min_rate: int | None = None,
    meter: Meter | None = None,
    concurrency: int | None = None,
    retry: bool = True,
    folder: str = "",
    read_only: bool = False,
    hidden: bool = True,
) -> Backend:
    """The backend with its layers. From the inside out, and why:

    crash points, while a plan for them is armed, stand next to the storage; ``faults`` look like the storage's own;
    ``min_rate`` (bytes per second) judges what the storage really gives;
    ``meter`` counts every single request, also the second try of one; ``concurrency`` bounds those requests;
    ``retry`` pauses without holding a slot; ``folder`` names paths as its users know them, of which ``hidden``
    false hides those that begin with a dot; ``read_only`` comes first of all, so that nothing refused costs anything.
    """
    if is_armed():
        backend = CrashLayer(backend)
    if faults := tuple(faults):
        backend = ChaosLayer(backend, faults)
    if min_rate is not None:
        backend = PaceLayer(backend, min_rate)
    if meter is not None:
        backend = MeterLayer(backend, meter)
    if concurrency is not None:
        backend = LimitLayer(backend, concurrency)
    if retry:
        backend = RetryLayer(backend)
    if folder:
        backend = SubtreeLayer(backend, folder)
    if not hidden:
        backend = HiddenLayer(backend)
    return ReadOnlyLayer(backend) if read_only else backend
