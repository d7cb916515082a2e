"""When a transfer begins, and until when it is tried: what people ask for, checked. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

KEEPS_TRYING: Final = timedelta(days=7)
LATEST: Final = timedelta(days=31)
"""So long a transfer may wait for its time at most."""
LATEST_UPLOAD: Final = timedelta(days=7)
"""The same of an upload, whose bytes take room at the gateway meanwhile."""
LATEST_UPLOAD_DEADLINE: Final = timedelta(days=31)
"""So long its delivery is tried at most, for the same reason; a transfer takes no room."""


@dataclass(frozen=True, slots=True)
class Times:
    """``not_before`` None: at once. ``firm``: the deadline is its owner's, so nothing prolongs it."""

    not_before: datetime | None
    deadline: datetime
    firm: bool


def agree(
    not_before: datetime | None,
    deadline: datetime | None,
    now: datetime,
    keeps_trying: timedelta = KEEPS_TRYING,
    *,
    latest: timedelta = LATEST,
    latest_deadline: timedelta | None = None,
) -> tuple[Times, list[dict[str, str]]]:
    """The times of a transfer, and what is wrong with them. One without a zone is UTC."""
    not_before, deadline = _with_zone(not_before), _with_zone(deadline)
    begins = max(now, not_before or now)
    errors = []
    if deadline is not None and deadline <= now:
        errors.append(_error("deadline", f"the deadline {_text(deadline)} has passed", "Name a later one, or none."))
    elif deadline is not None and deadline <= begins:
        said = f"the transfer is to begin on {_text(begins)}, which is not before its deadline {_text(deadline)}"
        errors.append(_error("not_before", said, "Let it begin earlier, or name a later deadline."))
    if deadline is not None and latest_deadline is not None and deadline > now + latest_deadline:
        said = f"the deadline {_text(deadline)} is more than {latest_deadline.days} days from now"
        errors.append(_error("deadline", said, "Name an earlier one, or none."))
    if begins > now + latest:
        said = f"the transfer is to begin on {_text(begins)}, which is more than {latest.days} days from now"
        errors.append(_error("not_before", said, f"Let it begin within {latest.days} days."))
    patience_ends = min(begins, now + latest) + keeps_trying  # later, it is refused anyway
    return Times(not_before, deadline or patience_ends, deadline is not None), errors


def _error(name: str, message: str, next_step: str) -> dict[str, str]:
    return {"pointer": f"/{name}", "message": message, "next_step": next_step}


def _with_zone(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
