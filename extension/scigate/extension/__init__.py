"""SciGate inside a Jupyter Server: the storage API at ``<base_url>/scigate/api/v1``, forwarded or hosted."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server asks for. If we cannot be imported, the answer is what says so at our addresses."""
    try:
        from .app import ScigateExtension
    except Exception as error:  # noqa: BLE001 whatever it is has to be said, where people look
        from . import broken

        broken.reason = f"{type(error).__name__}: {error}"
        return [{"module": "scigate.extension.broken"}]
    return [{"module": "scigate.extension.app", "app": ScigateExtension}]
