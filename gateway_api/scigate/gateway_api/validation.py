"""Reading JSON strictly, and what is wrong with a value, in words of people instead of those of the library that found
it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

KEYS_MAX: Final = 16
"""Of one JSON object. No model has as many; to refuse a million of them one by one takes seconds and a gigabyte."""
_OWN_WORDS: Final = {
    "model_type": "it has to be a JSON object",
    "model_attributes_type": "it has to be a JSON object",
    "dict_type": "it has to be a JSON object",
    "missing": "it is missing",
    "list_type": "it should be a list",
    "string_type": "it should be text",
    "int_type": "it should be a whole number",
    "int_parsing": "it should be a whole number",
    "int_from_float": "it should be a whole number",
    "bool_type": "it should be true or false",
    "bool_parsing": "it should be true or false",
    "timezone_aware": "it should be a time with its zone, such as 2026-05-01T10:00:00Z",
    "datetime_type": "it should be a time, such as 2026-05-01T10:00:00Z",
    "datetime_parsing": "it should be a time, such as 2026-05-01T10:00:00Z",
    "datetime_from_date_parsing": "it should be a time, such as 2026-05-01T10:00:00Z",
    "string_pattern_mismatch": "it holds characters that are not allowed here",
    "string_unicode": "it holds characters that are not Unicode",
}


def read_json_value(data: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8, whose keys are unique in each object. Raises ``ValueError``, with
    a sentence without a full stop, and ``RecursionError``."""
    return json.loads(data.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)


def words(item: Mapping[str, Any]) -> str:
    """One error of pydantic's ``ValidationError.errors()`` as the rest of a sentence, without a full stop."""
    text = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    for theirs, ours in (("Input should", "it should"), ("String should", "it should"), ("List should", "it should")):
        text = text.replace(theirs, ours)
    text = text.partition(" after validation, ")[0]
    if item["type"] == "extra_forbidden":
        return f"there is no field {item['loc'][-1]!r} here"
    return _OWN_WORDS.get(item["type"], text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > KEYS_MAX:
        raise ValueError(f"An object has more than {KEYS_MAX} keys")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("An object has the same key twice")
    return found
