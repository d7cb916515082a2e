"""Which token the doctor may show to a hub: one named for it, or that of this notebook server, to its own hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
from scigate.gateway_api.client import Check

from .checks import right

TOKEN: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 where it is, not what it is
OWN_HUB: Final = ("JUPYTERHUB_API_URL", "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST")
"""Where the hub that has made the token says that it is (JupyterHub: ``Spawner.get_env``)."""


def token_for(url: str, named: str | None, environment: Mapping[str, str]) -> str | Check:
    """The token to show to the hub at ``url``; or, if there is none that may be, what to tell instead.

    An address may be mistyped, or come from somebody else, so the token of the environment is shown only to an origin
    (RFC 6454 §4) that the hub of that token has named itself. ``named`` was meant for this address by who names both.
    """
    if named is not None:
        return named
    token = environment.get(TOKEN)
    if not token:
        step = "Run this in a terminal of a notebook server, or name a token of this hub with --token-file."
        return right("token", f"there is none here (${TOKEN}), so what users may do was not checked", step)
    own = [origin for name in OWN_HUB if (origin := _origin(environment.get(name, ""))) is not None]
    if _origin(url) in own:
        return token
    return right("token", _withheld(url, own), "If it is of this hub, save it in a file of mode 0600 and name that "
                 "with --token-file; c.JupyterHub.public_url tells notebook servers where their hub is.")  # fmt: skip


def _withheld(url: str, own: list[httpx.URL]) -> str:
    whose = (
        f"is of the hub at {' or '.join(dict.fromkeys(map(str, own)))}" if own else "does not say of which hub it is"
    )
    return f"${TOKEN} {whose}, so it was not shown to {_origin(url)}, and what its owner may do there was not checked"


def _origin(url: str) -> httpx.URL | None:
    """Scheme, host and port, read by the library that sends the requests: both see the same host in every spelling."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        return None
    return httpx.URL(scheme=parsed.scheme, host=parsed.host, port=parsed.port)
