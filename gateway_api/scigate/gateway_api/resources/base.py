"""What all resources have in common, and the values that many of them hold."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
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


T = TypeVar("T", bound=Resource)


class Page(Resource, Generic[T]):
    """A page of a list; ``next`` is the cursor of the next one, None at the end."""

    items: list[T]
    next: str | None = None
