"""What is wrong with the settings, in sentences that name the key and never show a value."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

Place = tuple[int | str, ...]


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` are all the reasons, one sentence or two each."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name, self.problems = name, tuple(problems)
        super().__init__("\n".join([f"{name} cannot be used:", *(f"  - {problem}" for problem in self.problems)]))


def sentences(
    error: ValidationError, model: type[BaseModel], where: Place = (), *, also: Iterable[str] = ()
) -> list[str]:
    """One sentence for each error of pydantic. ``where`` is the table that ``model`` describes; ``also`` are keys
    that are right there beside the model's own."""
    return [_sentence(item, model, where, tuple(also)) for item in error.errors(include_url=False, include_input=False)]


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean '…'?`` or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def _sentence(item: Any, model: type[BaseModel], where: Place, also: tuple[str, ...]) -> str:
    place: Place = item["loc"]
    if item["type"] == "extra_forbidden":
        known = [*_keys(model, place[:-1]), *(also if len(place) == 1 else ())]
        hint = nearest(str(place[-1]), known) or f" Known here: {', '.join(sorted(known))}."
        return f"{_path(where + place)}: this key is unknown.{hint}"
    if item["type"] == "missing":
        return f"{_path(where + place)}: this key is missing."
    if place[-1:] == ("[key]",):
        return f"{_path(where + place[:-1])}: this name is not allowed: {_message(item)}."
    return f"{_path(where + place)}: {_message(item)}."


_TYPES: Final = {
    "dict_type": "it must be a table",
    "model_type": "it must be a table",
    "tuple_type": 'it must be a list, such as ["anna"]',
    "list_type": 'it must be a list, such as ["anna"]',
    "string_type": "it must be text in quotes",
    "string_pattern_mismatch": "it is too short, too long, or holds characters that are not allowed here",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
}


def _message(item: Any) -> str:
    if known := _TYPES.get(item["type"]):
        return known
    text = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:] if text.startswith("Input ") else text


def _path(place: Place) -> str:
    """The key path as TOML writes it, with indexes of arrays in brackets."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the whole file"


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that ``model`` knows in the table at ``place`` below it."""
    found: Any = model
    for part in place:
        found = _below(found, part)
    return [key for key in found.model_fields if key != "options"] if _is_model(found) else []


def _below(annotation: Any, part: int | str) -> Any:
    if _is_model(annotation):
        field = annotation.model_fields.get(str(part))
        return _unwrapped(field.annotation) if field else None
    arguments = typing.get_args(annotation)  # dict[str, Model] or tuple[Model, ...]
    return _unwrapped(arguments[1 if typing.get_origin(annotation) is dict else 0]) if arguments else None


def _unwrapped(annotation: Any) -> Any:
    """Without ``| None``."""
    rest = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
    return rest[0] if type(None) in typing.get_args(annotation) else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
