"""What is wrong with a value, in words of people instead of those of the library that found it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_OWN_WORDS: Final = {
    "model_type": "it has to be a JSON object",
    "model_attributes_type": "it has to be a JSON object",
    "dict_type": "it has to be a JSON object",
    "string_pattern_mismatch": "it holds characters that are not allowed here",
    "string_unicode": "it holds characters that are not Unicode",
}


def words(item: Mapping[str, Any]) -> str:
    """One error of pydantic's ``ValidationError.errors()`` as the rest of a sentence, without a full stop."""
    text = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    for theirs, ours in (("Input should", "it should"), ("String should", "it should"), ("List should", "it should")):
        text = text.replace(theirs, ours)
    if item["type"] == "extra_forbidden":
        return f"there is no field {item['loc'][-1]!r} here"
    return _OWN_WORDS.get(item["type"], text)
