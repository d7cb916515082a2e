"""Faults that a gateway lives with when a point is only reached, or only for long enough, while they last."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from scigate.gateway_api import storages
from scigate.gateway_api.transfers import awaiting, scheduler
from scigate.gateway_api.uploads import window
from scigate.storage_backends.errors import NoSpace, Unreachable
from scigate.storage_backends.layers import Fault, compose

OWN: Final = "point-"
"""In the path of every destination of these runs, and of no source."""
IMPATIENT: Final = 4.0  # seconds


class Full(NoSpace):
    """Long enough for somebody to ask for something else meanwhile."""

    retry_after = timedelta(seconds=3)


_LATE: Final = timedelta(seconds=0.5)
WEATHER: Final = {
    "slow": [Fault("read", path="over.bin", delay=_LATE), Fault("stat", path="over.bin", delay=_LATE)],
    "slow to look": [Fault("stat", path="many/", delay=_LATE)],
    "slow puts": [Fault("put", delay=timedelta(seconds=1))],
    "slow publishing": [Fault("publish", delay=_LATE)],
    "publishing fails": [Fault("publish", error=Unreachable)],
    "writing fails": [Fault("write", error=Full)],
    "reading back fails": [Fault("read", path=OWN, error=Unreachable)],
    "bits flip": [Fault("write", flip=0)],
}


def no_room() -> None:
    """Every upload is thought to be more than there is room for."""
    window.LEAST = 1 << 20  # type: ignore[misc]
    window.Window.is_scarce = lambda self, more: True  # type: ignore[method-assign]


def no_slot() -> None:
    """All slots are taken for good: what is queued stays so."""
    scheduler.Share.is_free = property(lambda self: False)  # type: ignore[assignment,method-assign]


def impatience() -> None:
    """Senders who are silent lose their slots as ever, only sooner."""
    awaiting.SILENCE = IMPATIENT  # type: ignore[misc]


OTHERS: Final = {"no room": no_room, "no slot": no_slot, "impatience": impatience}


def arise(name: str, slower: int = 1) -> None:
    """From now on every storage of this process has these faults; what takes time takes so many times as long."""
    if name in OTHERS:
        OTHERS[name]()
        return
    Full.retry_after *= slower
    faults = [replace(fault, delay=fault.delay * slower) for fault in WEATHER[name]]
    storages.compose = lambda *arguments, **more: compose(*arguments, **more, faults=faults)  # type: ignore[attr-defined]
