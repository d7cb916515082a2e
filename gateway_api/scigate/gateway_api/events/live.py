"""Live progress as events: how far transfers are that move now. Not in the journal, and not to be resumed from."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from ..resources import Event, Leg, Transfer
from ..transfers.views import transfer_view
from .cloudevents import PREFIX, SOURCE
from .journal import Journal
from .ring import EVERYTHING, key_of
from .topics import ALL, OF_ONE, transfers_of

TYPE: Final = f"{PREFIX}transfer.progress"
MOST: Final = 200
"""Transfers that are told of at a time."""


class Moving(Protocol):
    """What the running engine knows, by the row number of a transfer."""

    def rate(self, transfer: int) -> float | None:
        """Bytes per second over the last seconds."""
        ...

    def moving(self, transfer: int) -> int:
        """Bytes moved beyond what is recorded."""
        ...

    def busy(self) -> Collection[int]:
        """Transfers of which something has moved in the last seconds."""
        ...


class Live:
    """How far transfers are. ``arrived`` tells the first leg of one that is being uploaded, if it is known."""

    def __init__(self, journal: Journal, moving: Moving) -> None:
        self._journal, self._moving = journal, moving
        self.arrived: Callable[[str], Leg | None] = lambda transfer: None
        self._told: dict[str, dict[str, Any]] = {}

    def sample(self, keys: Collection[str]) -> Mapping[str, Sequence[Event]]:
        """What has changed since the last sample, by key."""
        rows = self._journal.moving_rows(self._moving.busy(), transfers_of(keys), MOST)
        found: dict[str, list[Event]] = {}
        told = {}
        for row in rows:
            data = self._data(row)
            told[row.id] = data
            if self._told.get(row.id) != data:
                for key in {OF_ONE + row.id, key_of(ALL, row.owner), EVERYTHING} & set(keys):
                    found.setdefault(key, []).append(_event(row.id, data))
        self._told = told
        return found

    def _data(self, row: Any) -> dict[str, Any]:
        seen: Transfer = transfer_view(row, self._moving.rate(row.seq), self._moving.moving(row.seq))
        arrived = self.arrived(row.id)
        shown = {"state", "bytes_done", "bytes_total", "rate", "eta_seconds", "files"}
        data = {"transfer": seen.id, "owner": seen.owner, **seen.model_dump(mode="json", include=shown)}
        return data if arrived is None else data | {"arrived": arrived.model_dump(mode="json")}


def _event(transfer: str, data: dict[str, Any]) -> Event:
    now = time.time()
    return Event(id=f"progress-{transfer}-{now * 1000:.0f}", source=SOURCE + transfer, type=TYPE,
                 time=datetime.fromtimestamp(now, UTC), data=data)  # fmt: skip
