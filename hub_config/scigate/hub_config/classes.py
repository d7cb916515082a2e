"""Which class a setting of the hub means."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from traitlets import import_item
from traitlets.config.loader import Config

from .merging import ConfigurationError, current


def chosen_class(c: Config, kind: str) -> type[Any]:
    """The class of ``c.JupyterHub.<kind>_class``: a class, the name of an entry point or a dotted name, else the
    default. ``ConfigurationError`` if it is not here."""
    value = current(c.JupyterHub, f"{kind}_class", "default")
    if isinstance(value, type):
        return value
    points = [one for one in entry_points(group=_GROUPS[kind]) if one.name.lower() == str(value).lower()]
    try:
        found = points[0].load() if points else import_item(str(value))
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"c.JupyterHub.{kind}_class is {value!r}, which cannot be used: {error}.") from None
    if not isinstance(found, type):
        raise ConfigurationError(f"c.JupyterHub.{kind}_class is {value!r}, which is no class.")
    return found


_GROUPS = {
    "authenticator": "jupyterhub.authenticators",
    "proxy": "jupyterhub.proxies",
    "spawner": "jupyterhub.spawners",
}
