"""What a hub that starts the gateway as its service says in the environment (JupyterHub: "Launching a Hub-Managed
Service"), as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError
from scigate.storage_backends.credential import Secret

from .settings import GatewaySection, HubSection, Settings
from .settings_errors import SettingsError

NAME: Final = "JUPYTERHUB_SERVICE_NAME"
"""Set for services, and never for the servers of users, which know the other variables too."""
_KEYS: Final = {
    "api_url": "JUPYTERHUB_API_URL",
    "api_token": "JUPYTERHUB_API_TOKEN",
    "service_name": NAME,
    "base_url": "JUPYTERHUB_BASE_URL",
    "service_prefix": "JUPYTERHUB_SERVICE_PREFIX",
    "client_id": "JUPYTERHUB_CLIENT_ID",
}


def with_hub(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """``settings`` with the hub that has started this process, if one has; what the hub says goes before the file.

    ``SettingsError`` if it says too little, or wants what we cannot do.
    """
    if not environment.get(NAME):
        return settings
    said: dict[str, Any] = {key: environment[name] for key, name in _KEYS.items() if environment.get(name)}
    for key, name in (("api_url", "JUPYTERHUB_API_URL"), ("api_token", "JUPYTERHUB_API_TOKEN")):
        if key not in said:
            raise _wrong(f"{name} is missing, although {NAME} is set. Let the hub start the gateway, or use [hub].")
    said["api_token"] = Secret(said["api_token"])
    if settings.hub is not None:
        said["cache"] = settings.hub.cache
    try:
        hub = HubSection.model_validate(said)
    except ValidationError as error:
        wrong = "; ".join(f"{_KEYS.get(str(item['loc'][0]), item['loc'][0])}: {item['msg']}" for item in error.errors())
        raise _wrong(f"{wrong}.") from None
    return settings.model_copy(update={"hub": hub, "gateway": _listening(settings.gateway, environment)})


def _listening(gateway: GatewaySection, environment: Mapping[str, str]) -> GatewaySection:
    """Where the hub's proxy looks for us, and where browsers find us, as far as the hub knows."""
    changes: dict[str, Any] = {}
    if address := environment.get("JUPYTERHUB_SERVICE_URL"):
        parts = urlsplit(address)
        if parts.scheme != "http" or not parts.hostname:
            raise _wrong(f"JUPYTERHUB_SERVICE_URL is {address}: give the service a URL such as http://127.0.0.1:8470.")
        changes |= {"host": parts.hostname, "port": parts.port or 80}
    public = environment.get("JUPYTERHUB_PUBLIC_URL")
    if public and gateway.public_url is None:
        changes["public_url"] = public.rstrip("/")
    return gateway.model_copy(update=changes)


def _wrong(problem: str) -> SettingsError:
    return SettingsError("What the hub says in the environment", [problem])
