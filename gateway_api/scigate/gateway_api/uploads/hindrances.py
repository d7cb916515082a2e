"""Why an upload, or its file, does not get on now, in words for people. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from ..resources import Cause, FileState
from ..transfers.machine import WAITS, told
from .arrivals import Hindrance

_WAITING: Final = {
    Hindrance.ROOM: Cause(
        code=Hindrance.ROOM, message="The room for uploads at the gateway is full: its sender waits for it.",
        retriable=True,
        next_step="Nothing to do: it goes on when others have reached their storages. Uploads that have failed hold "
        "room too: 'scigate uploads --all' shows them, 'scigate uploads cancel ID' frees what they hold.",
    ),
    Hindrance.RIGHT_OF_WAY: Cause(
        code=Hindrance.RIGHT_OF_WAY, retriable=True,
        message="Its bytes are received first: they come faster than they can be moved on.",
        next_step="Nothing to do: they go on to the storage when the sender pauses, or is done.",
    ),
}  # fmt: skip


def cause_now(state: FileState, recorded: Cause | None, hindrance: Hindrance | None, *, waits: bool) -> Cause | None:
    """What holds the file of an upload up now, else what is ``recorded``. ``waits``: its mover has nothing to move."""
    recorded = told(recorded, state)
    for_sender = recorded is not None and recorded.code == WAITS.code
    if state is FileState.WAITING and for_sender:
        return _WAITING[hindrance] if hindrance else recorded
    if waits and state in (FileState.CLAIMED, FileState.COPYING):
        return _WAITING[hindrance] if hindrance else WAITS
    return None if for_sender and state is not FileState.PAUSED else recorded


def with_expiry(cause: Cause | None, expires: float | None) -> Cause | None:
    """A cause with the time until which the sender may come back, if it is the sender that is waited for."""
    if cause is None or cause.code != WAITS.code or expires is None:
        return cause
    until = datetime.fromtimestamp(expires, UTC)
    step = f"{WAITS.next_step.rstrip('.')}; the upload is kept until {until:%Y-%m-%d %H:%M} UTC."
    return cause.model_copy(update={"next_step": step})


def cause_told(row: Any, recorded: Cause | None, hindrance: Hindrance | None, *, waits: bool) -> Cause | None:
    """Both, of a row with ``file_state`` and ``expires``."""
    return with_expiry(cause_now(FileState(row.file_state), recorded, hindrance, waits=waits), row.expires)
