"""Times on the command line, as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import click

_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_SAYS: Final = 'write +2h, 22:00 or "2026-05-01 22:00"; a time without a zone is of this machine'


class When(click.ParamType):  # type: ignore[type-arg]
    """``+2h`` from now, ``22:00`` (the next one), or a date with a time (ISO 8601); always with a zone afterwards."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return read_when(str(value), datetime.now().astimezone())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time: {_SAYS}.", param, ctx)


def read_when(text: str, now: datetime) -> datetime:
    """What ``text`` means at ``now``, which has a zone. ``ValueError`` for what is no time."""
    if text.startswith("+"):
        from ..units import parse_duration

        later = parse_duration(text[1:])
        assert isinstance(later, timedelta)
        return now + later
    if clock := _CLOCK.fullmatch(text):
        today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=now.tzinfo)


def asks_when(command: Callable[..., Any]) -> Callable[..., Any]:
    """The two options of a transfer that is not for at once, or not for ever."""
    begins = click.option("--not-before", type=When(), help="Begin then: +2h, 22:00 or '2026-05-01 22:00'.")
    ends = click.option("--deadline", type=When(), help="Give up what is not done then.")
    return begins(ends(command))
