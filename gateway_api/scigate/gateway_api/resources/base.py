"""What all resources have in common, and the values that many of them hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it should be text")
    return value


PathText = Annotated[
    str, PlainValidator(_any_text), PlainSerializer(lambda text: text), WithJsonSchema({"type": "string"})
]
"""A string that may hold surrogate escapes, which pydantic's own string type refuses."""


class Resource(BaseModel):
    """Base of everything the API answers."""

    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    """Base of everything the API accepts: an unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cause(Resource):
    """Why something failed, waits or is paused: for programs (``code``, ``retriable``) and for people."""

    code: str
    message: PathText
    retriable: bool
    next_step: str


Label = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name of a transfer, for people."""


def _of_the_calendar(moment: datetime) -> datetime:
    """It is kept in seconds, and read again in UTC: what is not of the years 1 to 9999 then could not be read."""
    try:
        for one in (moment, moment if moment.tzinfo else moment.replace(tzinfo=UTC)):
            datetime.fromtimestamp(one.timestamp(), UTC)
    except (ValueError, OverflowError):
        raise ValueError("it should be a time of the years 1 to 9999 in UTC") from None
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_of_the_calendar)]
"""A time that somebody names, with its zone."""
MomentAnywhere = Annotated[datetime, AfterValidator(_of_the_calendar)]
"""The same; the zone may be left out."""


T = TypeVar("T", bound=Resource)


class Page(Resource, Generic[T]):
    """A page of a list; ``next`` is the cursor of the next one, None at the end."""

    items: list[T]
    next: str | None = None
