"""Live progress as events: how far transfers are that move now. Not in the journal, and not to be resumed from."""

from __future__ import annotations

import time
from collections import Counter
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
    """How far transfers are, in both their legs.

    ``arriving`` knows the first one: the same as ``moving``, by the row number of an upload; ``known`` tells how many
    bytes of an upload are here, by its id, 0 if nothing more is known than what is recorded.
    """

    def __init__(self, journal: Journal, moving: Moving, arriving: Moving, known: Callable[[str], int]) -> None:
        self._journal, self._moving, self._arriving, self._known = journal, moving, arriving, known
        self._told: dict[str, dict[str, Any]] = {}

    def sample(self, keys: Collection[str]) -> Mapping[str, Sequence[Event]]:
        """What has changed since the last sample, by key."""
        arriving = self._arriving.busy()
        rows = self._journal.moving_rows(self._moving.busy(), transfers_of(keys), arriving, MOST)
        arrived = self._arrived([row.seq for row in rows], arriving)
        found: dict[str, list[Event]] = {}
        told = {}
        for row in rows:
            data = self._data(row, arrived.get(row.seq))
            told[row.id] = data
            if self._told.get(row.id) != data:
                for key in {OF_ONE + row.id, key_of(ALL, row.owner), EVERYTHING} & set(keys):
                    found.setdefault(key, []).append(_event(row.id, data))
        self._told = told
        return found

    def _arrived(self, transfers: Sequence[int], busy: Collection[int]) -> Mapping[int, Leg]:
        """The first leg of those transfers that have one; of the uploads that are ``busy`` more than is recorded."""
        here, uploads = self._journal.received(transfers, busy)
        more, rate = Counter[int](), Counter[int]()
        for upload in uploads:
            more[upload.transfer] += max(0, self._known(upload.id) - upload.received)
            rate[upload.transfer] += round(self._arriving.rate(upload.seq) or 0)
        return {seq: Leg(bytes=count + more[seq], rate=rate[seq] or None) for seq, count in here.items()}

    def _data(self, row: Any, arrived: Leg | None) -> dict[str, Any]:
        seen: Transfer = transfer_view(row, self._moving.rate(row.seq), self._moving.moving(row.seq))
        shown = {"state", "bytes_done", "bytes_total", "rate", "eta_seconds", "files"}
        data = {"transfer": seen.id, "owner": seen.owner, **seen.model_dump(mode="json", include=shown)}
        return data if arrived is None else data | {"arrived": arrived.model_dump(mode="json")}


def _event(transfer: str, data: dict[str, Any]) -> Event:
    now = time.time()
    return Event(id=f"progress-{transfer}-{now * 1000:.0f}", source=SOURCE + transfer, type=TYPE,
                 time=datetime.fromtimestamp(now, UTC), data=data)  # fmt: skip
