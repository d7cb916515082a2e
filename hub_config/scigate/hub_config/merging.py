"""Additions to a ``jupyterhub_config.py`` that leave alone what its author has set, or say where the two disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from traitlets.config.loader import Config, LazyConfigValue


class ConfigurationError(Exception):
    """The hub's configuration and what SciGate needs contradict each other; a sentence that says what to change."""


def current(section: Config, name: str, default: Any) -> Any:
    """What ``section.name`` is now, ``default`` if nothing; ``append`` and ``update`` on unset values are followed."""
    if name not in section:
        return default
    value = section[name]
    return value.get_value(default) if isinstance(value, LazyConfigValue) else value


def settle(section: Config, name: str, value: Any, what: str) -> None:
    """Set ``section.name``, unless it is set to the same. ``what`` is its full name, for the error."""
    found = current(section, name, None)
    if found is not None and found != value:
        raise ConfigurationError(f"{what} is {found!r}, and SciGate needs {value!r}. Take one of them out.")
    section[name] = value


def suggest(section: Config, name: str, value: Any) -> None:
    """Set ``section.name`` if nobody has."""
    if current(section, name, None) is None:
        section[name] = value


def extend(section: Config, name: str, items: Iterable[Any]) -> None:
    """Append what a list does not hold yet."""
    found = list(current(section, name, []))
    section[name] = found + [item for item in items if item not in found]


def add_named(section: Config, name: str, items: Iterable[Mapping[str, Any]], what: str) -> None:
    """Append to a list of tables with a ``name`` each. The same again is nothing; another one of that name an error."""
    found = list(current(section, name, []))
    for item in items:
        same = next((one for one in found if one.get("name") == item["name"]), None)
        if same is None:
            found.append(dict(item))
        elif same != item:
            raise ConfigurationError(
                f"{what} has a {item['name']!r} already, which is another one than SciGate's. Rename or remove it."
            )
    section[name] = found


def merge(section: Config, name: str, entries: Mapping[str, Any], what: str) -> None:
    """Add to a table. Tables in it are merged too; a key that has another value already is an error."""
    section[name] = merged(current(section, name, {}), entries, what)


def merged(found: Mapping[str, Any], entries: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``found`` and ``entries`` in one table."""
    whole = dict(found)
    for key, value in entries.items():
        if isinstance(value, Mapping):
            whole[key] = merged(whole.get(key, {}), value, f"{what}[{key!r}]")
        elif whole.setdefault(key, value) != value:
            raise ConfigurationError(
                f"{what}[{key!r}] is {whole[key]!r}, and SciGate needs {value!r}. Take one of them out."
            )
    return whole
