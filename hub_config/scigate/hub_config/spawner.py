"""Notebook servers that are stopped in order, so that they can end what they have begun."""

from __future__ import annotations

from jupyterhub.spawner import LocalProcessSpawner, Spawner


class StopsInOrder(LocalProcessSpawner):  # type: ignore[misc]  # jupyterhub has no types
    """Stops with SIGTERM where JupyterHub would try SIGINT first: without a terminal that is a KeyboardInterrupt in
    the middle of anything, and the stop hooks of Jupyter's extensions never run."""

    async def stop(self, now: bool = False) -> None:
        """End the server: SIGTERM, and SIGKILL after ``term_timeout``."""
        await super().stop(now=True)


def in_order(spawner: type[Spawner]) -> type[Spawner]:
    """``spawner``, but stopping in order, if it runs servers as processes of this machine; its settings stay valid."""
    if not issubclass(spawner, LocalProcessSpawner) or issubclass(spawner, StopsInOrder):
        return spawner
    return type(f"{spawner.__name__}InOrder", (StopsInOrder, spawner), {"__module__": __name__})
