"""Sizes and durations as people write them: ``"32 MiB"``, ``"7d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_NUMBER_AND_UNIT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_BYTES: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", 1)},
}
_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_size(value: object) -> object:
    """Bytes from ``"32 MiB"`` (1024-based), ``"32 MB"`` (1000-based) or a whole number."""
    if isinstance(value, str | bool):  # true is a 1 for Python
        return round(_scaled(value, _BYTES, 'a size such as 1048576, "512 KiB" or "10 GiB"'))
    return value


def parse_duration(value: object) -> object:
    """A timedelta from ``"30s"``, ``"5m"``, ``"2h"``, ``"7d"`` or ``"1w"``."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError('write a duration such as "30s", "5m", "2h" or "7d"')
    return timedelta(seconds=_scaled(value, _SECONDS, 'a duration such as "30s", "5m", "2h" or "7d"'))


def _scaled(value: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    found = _NUMBER_AND_UNIT.fullmatch(str(value))
    if not found or found[2].lower() not in units:
        raise ValueError(f"write {expected}")
    return float(found[1]) * units[found[2].lower()]


Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0, lt=1 << 63)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
