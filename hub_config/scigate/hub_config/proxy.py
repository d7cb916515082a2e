"""Traefik as the proxy of the hub, without a limit on how long a request takes."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any, Final

from traitlets.config.loader import Config

from .classes import chosen_class
from .merging import current, merge, suggest

CLASS: Final = "scigate.hub_config.traefik.PrivateTraefik"
ENTRY_POINT: Final = "scigate"
UNLIMITED: Final[dict[str, Any]] = {"readTimeout": 0, "idleTimeout": 600}  # seconds; 0 is none, the default is 60
QUIET: Final = {"checkNewVersion": False, "sendAnonymousUsage": False}


def use_traefik(c: Config, folder: Path) -> None:
    """Make Traefik the proxy, unless another one is configured. It keeps its two files in ``folder``.

    An upload of hours is one request. Traefik ends requests after a minute by default, so the limit is taken away.
    """
    if not is_ours(c):
        return
    suggest(c.JupyterHub, "proxy_class", CLASS)
    traefik = c.TraefikProxy
    suggest(traefik, "traefik_api_url", "http://127.0.0.1:8099")
    suggest(traefik, "traefik_api_username", "jupyterhub")
    suggest(traefik, "traefik_api_password", secrets.token_urlsafe(24))
    suggest(traefik, "traefik_entrypoint", ENTRY_POINT)
    suggest(traefik, "traefik_env", {"PATH": _search_path()})
    suggest(c.TraefikFileProviderProxy, "static_config_file", str(folder / "traefik.toml"))
    suggest(c.TraefikFileProviderProxy, "dynamic_config_file", str(folder / "traefik-rules.toml"))
    entry_point = current(traefik, "traefik_entrypoint", ENTRY_POINT)
    unlimited = {entry_point: {"transport": {"respondingTimeouts": UNLIMITED}}}
    what = "c.TraefikProxy.extra_static_config"
    merge(traefik, "extra_static_config", {"entryPoints": unlimited, "global": QUIET}, what)


def is_ours(c: Config) -> bool:
    """Whether no other proxy is chosen, nor one that somebody else starts."""
    if "proxy_class" in c.JupyterHub:
        return is_traefik(c)
    return not any(c[name] for name in ("Proxy", "ConfigurableHTTPProxy") if name in c)


def is_traefik(c: Config) -> bool:
    """Whether the hub's proxy is Traefik, told what to do by files."""
    return any(one.__name__ == "TraefikFileProviderProxy" for one in chosen_class(c, "proxy").__mro__)


def _search_path() -> str:
    """Where the program is also found when the environment of this Python is not activated."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
