"""One call that makes a JupyterHub a hub with a gateway, and the doctor that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration import configure
    from .merging import ConfigurationError

__all__ = ["ConfigurationError", "configure"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: the service of the hub is in this package too, and needs neither hub nor traitlets."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import configuration, merging

    return configuration.configure if name == "configure" else merging.ConfigurationError
