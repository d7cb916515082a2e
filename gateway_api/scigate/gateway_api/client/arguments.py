"""Reading what a caller gives: every mistake is a ``GatewayError``, said before the gateway is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError
from scigate.storage_backends.errors import InvalidName
from scigate.storage_backends.location import Location
from scigate.storage_backends.location import parse as parse_location

from ..resources import Request, TransferRequest
from ..validation import words
from .errors import InvalidArgument, InvalidLocation

E = TypeVar("E", bound=StrEnum)
Q = TypeVar("Q", bound=Request)


def choice(kind: type[E], value: str, name: str) -> E:
    """The member of an enumeration that ``value`` names."""
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise InvalidArgument(f"{name} cannot be {value!r}.", next_step=f"It is one of: {allowed}.") from None


def pairs(files: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """What is to be copied where, as a request says it."""
    found = []
    for each in files:
        if isinstance(each, str) or len(each) != 2:
            raise InvalidArgument(f"{each!r} is not a pair.", next_step="Give pairs of a source and its destination.")
        found.append({"source": each[0], "destination": each[1]})
    return found


def transfer_request(**fields: Any) -> TransferRequest:
    """What is to be submitted."""
    return request(TransferRequest, **fields)


def request(kind: type[Q], **fields: Any) -> Q:
    """Checked here as at the gateway, so that a mistake is said without asking it."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in found["loc"])
        raise InvalidArgument(f"{name} cannot be so: {words(found)}.", next_step=f"Correct {name}.") from None


def moment(value: datetime | timedelta | None) -> datetime | None:
    """A time with its zone: without one it is of this machine, and a duration is from now on."""
    if isinstance(value, timedelta):
        return datetime.now(UTC) + value
    if value is not None and not isinstance(value, datetime):
        raise InvalidArgument(f"{value!r} is not a time.", next_step="Give a datetime, or a timedelta from now.")
    return value.astimezone() if value is not None and value.tzinfo is None else value


def location(text: str) -> Location:
    """Read ``storage:/path``. Raises ``InvalidLocation`` with the rule that is broken."""
    try:
        return parse_location(text)
    except InvalidName as error:
        raise InvalidLocation(error.message + ".", next_step=error.next_step) from None
