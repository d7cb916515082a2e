"""``configure(c)``: a JupyterHub with a gateway, from one call at the end of its ``jupyterhub_config.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from traitlets.config.loader import Config

from . import rights
from .classes import chosen_class
from .merging import ConfigurationError, add_named, current, extend, merge
from .proxy import use_traefik
from .spawner import in_order

ADDRESS: Final = "http://127.0.0.1:8470"
SUPERVISOR: Final = (sys.executable, "-m", "scigate.hub_config.service")
STARTING: Final = 240  # seconds that the service may take until it answers, on a machine that has just booted
CULLER: Final = "jupyterhub_idle_culler"
REPORTED: Final = timedelta(seconds=60)
"""How often the gateway reports users with running transfers to the hub."""
REPORTS_OF_SERVERS: Final = timedelta(seconds=300)
"""How often notebook servers report their own activity, unless told otherwise (JUPYTERHUB_ACTIVITY_INTERVAL)."""
SHORTEST_TOKEN: Final = 32


def configure(
    c: Config,
    *,
    settings: str | Path | None = None,
    url: str = ADDRESS,
    external: bool = False,
    api_token: str | None = None,
    name: str = "scigate",
    communities: Mapping[str, Iterable[str]] | Iterable[str] = (),
    curators: Mapping[str, str | Sequence[str]] | None = None,
    admins: Iterable[str] = (),
    open_to: Iterable[str] = (),
    cull_after: timedelta | None = None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    proxy: bool = True,
    state_dir: str | Path = "scigate-hub",
) -> None:
    """Add the gateway to the hub that ``c`` configures. Call it last: what is set later replaces what it adds.

    Nothing that is set already is replaced: lists get longer, tables are merged, and where the two contradict each
    other a ``ConfigurationError`` says what to change.

    :param settings: ``scigate.toml`` of the gateway. A mistake in it does not hold up the hub.
    :param url: where the gateway listens, as the hub and notebook servers reach it.
    :param external: the gateway is started by somebody else, such as systemd; it then needs ``api_token`` as well.
    :param api_token: the gateway's token for the hub, at least 32 characters; made by itself if the hub starts it.
    :param communities: groups that are to exist, if wanted with users who are to be in them.
    :param curators: community → group, or groups, whose members decide what the community sees.
    :param admins: groups whose members are admins of the gateway; an admin of the hub is not one by that.
    :param open_to: groups whose members may use the gateway; none means every user of the hub.
    :param cull_after: stop notebook servers that were idle so long, except of users whose transfers are running.
    :param environment: further variables for the gateway, such as secrets that ``scigate.toml`` names.
    :param user: the system user who runs the gateway, if the hub runs as root.
    :param proxy: make Traefik the proxy, without limits of time, if no other one is configured.
    :param state_dir: folder for the files of Traefik.
    """
    _refuse_what_is_not_supported(c)
    _token_is_there(external, api_token)
    merge(c.JupyterHub, "custom_scopes", rights.CUSTOM_SCOPES, "c.JupyterHub.custom_scopes")
    service = _managed(settings, environment, user) if not external else {}
    _add_service(c, name, {"url": url, **service, **({"api_token": api_token} if api_token else {})})
    _let_users_in(c, name, list(open_to))
    _let_servers_in(c, name)
    roles = rights.gateway_roles(name, _lists(curators or {}), admins)
    add_named(c.JupyterHub, "load_roles", roles, "c.JupyterHub.load_roles")
    _make_groups(c, communities)
    _tell_servers(c, {"SCIGATE_URL": url.rstrip("/") + base_url(c) + f"services/{name}"})
    c.JupyterHub.spawner_class = in_order(chosen_class(c, "spawner"))
    if cull_after is not None:
        _cull(c, cull_after)
    if proxy:
        use_traefik(c, Path(state_dir).absolute())


def base_url(c: Config) -> str:
    """The path below which the hub lies, from ``/`` to ``/``."""
    set_by_itself = current(c.JupyterHub, "base_url", None)
    path: str = set_by_itself or urlsplit(current(c.JupyterHub, "bind_url", "")).path
    return f"/{path.strip('/')}/" if path.strip("/") else "/"


def _refuse_what_is_not_supported(c: Config) -> None:
    if current(c.JupyterHub, "subdomain_host", ""):
        raise ConfigurationError(
            "c.JupyterHub.subdomain_host is set: then pages of notebook servers come from other hosts than the "
            "gateway, and browsers keep them apart. SciGate does not support that; take it out."
        )
    if current(c.JupyterHub, "internal_ssl", False):
        raise ConfigurationError(
            "c.JupyterHub.internal_ssl is set, and the gateway does not speak TLS with the hub's own certificates. "
            "Take it out; keep hub, proxy and gateway on one machine or in one private network."
        )


def _token_is_there(external: bool, api_token: str | None) -> None:
    if external and not api_token:
        raise ConfigurationError(
            "An external gateway needs an api_token that the hub knows too: make one with 'openssl rand -hex 32', "
            "pass it to configure(), and put it into [hub] of the gateway's scigate.toml."
        )
    if api_token and len(api_token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"The api_token is shorter than {SHORTEST_TOKEN} characters. Make one with 'openssl rand -hex 32'."
        )


# The service --------------------------------------------------------------------------------------------------------


def _managed(settings: str | Path | None, environment: Mapping[str, str] | None, user: str | None) -> dict[str, Any]:
    config = {} if settings is None else {"SCIGATE_CONFIG": str(Path(settings).expanduser().absolute())}
    command = {"command": list(SUPERVISOR), "environment": {**(environment or {}), **config}}
    return command | ({"user": user} if user else {})


def _add_service(c: Config, name: str, how: Mapping[str, Any]) -> None:
    service = {
        "name": name,
        **how,
        "oauth_no_confirm": True,  # it is a part of the hub, as far as users can tell
        "oauth_client_allowed_scopes": list(rights.ON_BEHALF),
    }
    if _newer_than_5():
        # One of its own that does not answer in time ends the hub; without any other it starts all the same.
        service["timeout"] = STARTING if "command" in how else 5
    add_named(c.JupyterHub, "services", [service], "c.JupyterHub.services")


def _newer_than_5() -> bool:
    return int(version("jupyterhub").partition(".")[0]) > 5


# Rights -------------------------------------------------------------------------------------------------------------


def _let_users_in(c: Config, name: str, groups: list[str]) -> None:
    if groups:
        role = {"name": "scigate-user", "scopes": rights.for_users(name), "groups": groups}
        add_named(c.JupyterHub, "load_roles", [role], "c.JupyterHub.load_roles")
        return
    if _newer_than_5() and _role(c, "user") is None:
        c.JupyterHub.extra_user_scopes = set(current(c.JupyterHub, "extra_user_scopes", set())) | set(
            rights.for_users(name)
        )
        return
    _widen(c, "user", ["self"], rights.for_users(name))


def _let_servers_in(c: Config, name: str) -> None:
    """A token may do what its role says, and only as far as its owner may: without this it cannot call the gateway."""
    wanted = rights.for_servers(name)
    _widen(c, "server", rights.SERVER_SCOPES, wanted)
    for section in _sections_of_spawners(c):
        scopes = current(section, "server_token_scopes", None)
        if callable(scopes):
            raise ConfigurationError(
                f"c.Spawner.server_token_scopes is a function: have it return also {', '.join(wanted)}, "
                "or take it out, so that notebook servers can call the gateway."
            )
        if scopes is not None:
            extend(section, "server_token_scopes", wanted)


def _widen(c: Config, role: str, usual: Iterable[str], scopes: Sequence[str]) -> None:
    """Add scopes to a role that JupyterHub has by default, and that the configuration may have changed."""
    found = _role(c, role)
    if found is None:
        extend(c.JupyterHub, "load_roles", [{"name": role, "scopes": [*usual, *scopes]}])
        return
    before = list(found.get("scopes", usual))
    changed = {**found, "scopes": before + [scope for scope in scopes if scope not in before]}
    c.JupyterHub.load_roles = [
        changed if one is found else one for one in current(c.JupyterHub, "load_roles", [])
    ]  # fmt: skip


def _role(c: Config, name: str) -> dict[str, Any] | None:
    roles: list[dict[str, Any]] = current(c.JupyterHub, "load_roles", [])
    return next((role for role in roles if role.get("name") == name), None)


def _lists(curators: Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    return {community: [who] if isinstance(who, str) else list(who) for community, who in curators.items()}


def _make_groups(c: Config, communities: Mapping[str, Iterable[str]] | Iterable[str]) -> None:
    """Have groups exist. An authenticator that brings the groups makes them by itself when their members log in."""
    groups = communities if isinstance(communities, Mapping) else dict.fromkeys(communities, ())
    wanted = {group: list(users) for group, users in groups.items()}
    if _groups_come_from_outside(c):
        if any(wanted.values()):
            raise ConfigurationError(
                "The authenticator manages the groups, so users cannot be put into communities here. "
                "Pass only their names, or take manage_groups out."
            )
        return
    loaded = dict(current(c.JupyterHub, "load_groups", {}))
    for group, users in wanted.items():
        found = loaded.get(group, {})
        entry = dict(found) if isinstance(found, Mapping) else {"users": list(found)}
        entry["users"] = list(dict.fromkeys([*entry.get("users", []), *users]))
        loaded[group] = entry
    if wanted:
        c.JupyterHub.load_groups = loaded


def _groups_come_from_outside(c: Config) -> bool:
    for section in [c[name] for name in c if name.endswith("Authenticator")]:
        if "manage_groups" in section:
            return bool(current(section, "manage_groups", False))
    return bool(chosen_class(c, "authenticator").manage_groups.default_value)


# Notebook servers ---------------------------------------------------------------------------------------------------


def _sections_of_spawners(c: Config) -> list[Config]:
    """``c.Spawner`` and those of its subclasses that are there: what they set hides what ``c.Spawner`` sets."""
    return [c.Spawner, *(c[name] for name in list(c) if name.endswith("Spawner") and name != "Spawner")]


def _tell_servers(c: Config, variables: Mapping[str, str]) -> None:
    for section in _sections_of_spawners(c):
        if section is c.Spawner or "environment" in section:
            merge(section, "environment", variables, "c.Spawner.environment")


def _cull(c: Config, after: timedelta) -> None:
    """Stop idle servers. A server that reports rarely, or a gateway that does, would look idle: both report in time."""
    for service in current(c.JupyterHub, "services", []):
        if any(CULLER in str(word) for word in service.get("command", [])) and service["name"] != "scigate-idle-culler":
            raise ConfigurationError(
                f"The service {service['name']!r} culls idle servers already: leave out cull_after. "
                "Users with running transfers are kept by it as well."
            )
    if after < 2 * REPORTED:
        raise ConfigurationError(f"cull_after is shorter than {2 * REPORTED}: the gateway reports once in {REPORTED}.")
    seconds = int(after.total_seconds())
    options = [f"--timeout={seconds}", f"--cull-every={max(10, min(600, seconds // 6))}"]
    service = {"name": "scigate-idle-culler", "command": [sys.executable, "-m", CULLER, *options]}
    add_named(c.JupyterHub, "services", [service], "c.JupyterHub.services")
    role = rights.role_for("scigate-idle-culler", rights.CULLER_SCOPES)
    add_named(c.JupyterHub, "load_roles", [role], "c.JupyterHub.load_roles")
    if after < 3 * REPORTS_OF_SERVERS:
        for section in _sections_of_spawners(c):
            if section is c.Spawner or "environment" in section:
                environment = dict(current(section, "environment", {}))
                environment.setdefault("JUPYTERHUB_ACTIVITY_INTERVAL", str(seconds // 3))
                section.environment = environment
