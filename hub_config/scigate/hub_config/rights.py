"""Who may do what with the gateway: custom scopes and roles of the hub (RBAC of JupyterHub). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

READ: Final = "custom:scigate:read"
WRITE: Final = "custom:scigate:write"
CURATE: Final = "custom:scigate:curate"
ADMIN: Final = "custom:scigate:admin"

CUSTOM_SCOPES: Final[Mapping[str, Mapping[str, Any]]] = {
    READ: {"description": "See storages, files and one's own transfers in SciGate."},
    WRITE: {"description": "Move, send and remove data with SciGate.", "subscopes": [READ]},
    CURATE: {"description": "Decide what a community sees in SciGate.", "subscopes": [READ]},
    ADMIN: {"description": "See and steer everything in SciGate.", "subscopes": [WRITE]},
}
ON_BEHALF: Final = (WRITE, CURATE, ADMIN)
"""What pages and notebook servers may do for their user: each only if the user may do it."""

SERVICE_SCOPES: Final = ("users:activity", "list:users", "read:users", "list:groups", "read:groups", "read:servers")
"""What the gateway asks the hub, and tells it: the activity of users whose transfers are running."""

CULLER_SCOPES: Final = ("list:users", "read:users:activity", "read:servers", "delete:servers")
SERVER_SCOPES: Final = ("users:activity!user", "access:servers!server")  # of the hub's own role 'server'


def access(service: str) -> str:
    """The scope that lets a user, or a token, call the service."""
    return f"access:services!service={service}"


def for_users(service: str) -> list[str]:
    """What every user of the hub may do."""
    return [access(service), WRITE]


def for_servers(service: str) -> list[str]:
    """What ``$JUPYTERHUB_API_TOKEN`` of a notebook server may do beyond the hub's own; cut to its owner's scopes."""
    return [access(service), *ON_BEHALF]


def gateway_roles(service: str, curators: Mapping[str, Sequence[str]], admins: Iterable[str]) -> list[dict[str, Any]]:
    """The roles of the service, of who curates a community (community → groups), and of SciGate's admins (groups)."""
    roles = [role_for(service, SERVICE_SCOPES)]
    for community, groups in curators.items():
        name = role_name(f"scigate-curator-{community}")
        scopes = [f"{CURATE}!group={community}"]
        roles.append({"name": name, "description": f"Curates {community}", "scopes": scopes, "groups": list(groups)})
    if groups := list(admins):
        roles.append({"name": "scigate-admin", "description": "Admin of SciGate", "scopes": [ADMIN], "groups": groups})
    return roles


def role_for(service: str, scopes: Iterable[str]) -> dict[str, Any]:
    """The role of a service."""
    return {"name": role_name(f"{service}-service"), "services": [service], "scopes": list(scopes)}


def role_name(wanted: str) -> str:
    """``wanted`` if JupyterHub takes it as the name of a role, else one that is made from it."""
    if re.fullmatch(r"[a-z][a-z0-9\-_~.]{1,253}[a-z0-9]", wanted):
        return wanted
    plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:200]
    return f"{plain}-{sha256(wanted.encode()).hexdigest()[:8]}"
