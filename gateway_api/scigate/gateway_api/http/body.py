"""Reading what clients send: JSON and query strings, strictly, every mistake named."""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from ..problems import Problem
from ..validation import read_json_value, words

FIELDS_MAX: Final = 32
SECRETS_IN_URL: Final = frozenset({"token", "access_token", "api_key"})
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
M = TypeVar("M", bound=BaseModel)


def read_json(data: bytes, model: type[M]) -> M:
    """The request body as ``model``: ``Problem`` 400 if it is not JSON (RFC 8259), 422 if it is not that model."""
    if not data:
        raise malformed("Its body is empty, and JSON is needed.")
    try:
        value = read_json_value(data)
    except UnicodeDecodeError:
        raise malformed("It is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise malformed(f"Its body is not JSON: {error}.") from None
    except RecursionError:
        raise malformed("It is nested too deeply.") from None
    except ValueError as error:
        raise malformed(f"{error}.") from None
    return _validated(model, value, lambda loc: {"pointer": _pointer(loc)})


def read_query(raw: str, model: type[M]) -> M:
    """The query string as ``model``; a parameter given twice, unknown or wrong is a ``Problem`` 422."""
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="surrogateescape", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise malformed("The query string cannot be read.") from None
    names = [name for name, _ in pairs]
    if SECRETS_IN_URL.intersection(names):
        raise Problem(
            400,
            "token-in-url",
            "A token in a URL ends up in logs and histories; it is refused.",
            next_step="Send it as 'Authorization: Bearer <token>', and replace it: it is no longer secret.",
        )
    if len(set(names)) < len(names):
        raise malformed("A query parameter is given twice.")
    return _validated(model, dict(pairs), lambda loc: {"parameter": str(loc[0]) if loc else ""})


def check_escapes(path: str) -> None:
    """Every ``%`` of a path begins an octet (RFC 3986 §2.1); a ``Problem`` 400 else, for its author meant something."""
    if _BROKEN_ESCAPE.search(path):
        raise malformed("Its path has a '%' without two hexadecimal digits behind it; a '%' itself is written %25.")


def malformed(detail: str) -> Problem:
    """The request cannot even be read."""
    return Problem(
        400, "malformed", "The request cannot be read.", detail=detail, next_step="Correct the request; see /docs."
    )


def _validated(model: type[M], value: Any, place: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = [
            {**place(item["loc"]), "message": words(item)}
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Problem(
            422,
            "invalid",
            "The request has fields that cannot be used.",
            detail="; ".join(": ".join(filter(None, error.values())) for error in errors[:5]),
            next_step="Correct the fields listed in 'errors'; see /docs.",
            errors=errors[:100],
        ) from None


def _pointer(loc: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc)
