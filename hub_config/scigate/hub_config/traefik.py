"""Traefik with its files in a folder that only the hub can read: they hold the hash of a password."""

from __future__ import annotations

from pathlib import Path

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy


class PrivateTraefik(TraefikFileProviderProxy):  # type: ignore[misc]  # it has no types
    """As the class it comes from, with the same settings; it makes the folders of its files."""

    async def start(self) -> None:
        """Start Traefik."""
        for name in (self.static_config_file, self.dynamic_config_file):
            Path(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await super().start()
