"""Faults that a gateway lives with when a point is only reached, or only for long enough, while they last."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from scigate.gateway_api import storages
from scigate.storage_backends.errors import NoSpace, Unreachable
from scigate.storage_backends.layers import Fault, compose

OWN: Final = "point-"
"""In the path of every destination of these runs, and of no source."""

_LATE: Final = timedelta(seconds=0.4)
WEATHER: Final = {
    "slow": [Fault("read", delay=_LATE), Fault("stat", delay=_LATE)],
    "slow puts": [Fault("put", delay=timedelta(seconds=1))],
    "slow publishing": [Fault("publish", delay=_LATE)],
    "publishing fails": [Fault("publish", error=Unreachable)],
    "writing fails": [Fault("write", error=NoSpace)],
    "reading back fails": [Fault("read", path=OWN, error=Unreachable)],
    "bits flip": [Fault("write", flip=0)],
}


def arise(name: str) -> None:
    """From now on every storage of this process has these faults."""
    faults = WEATHER[name]
    storages.compose = lambda *arguments, **more: compose(*arguments, **more, faults=faults)  # type: ignore[attr-defined]
