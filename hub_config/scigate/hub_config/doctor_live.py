"""The doctor's look at a hub that runs: what its users' programs and browsers get."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from scigate.gateway_api.client import Check

from . import rights
from .checks import is_loopback, right, wrong

PATIENCE: Final = 10.0  # seconds
NAME: Final = "scigate"
UNREACHABLE: Final = (502, 504)
ADDRESS: Final = "Give the address of the hub with its base_url, for example https://hub.example.org/jupyter/."
CONFIGURE: Final = "Call configure(c) at the end of the hub's jupyterhub_config.py."


def look_at_hub(url: str, token: str | Check, *, may_be_down: bool = False) -> Iterator[Check]:
    """Whether the hub at ``url`` answers, routes to the gateway, and lets the owner of ``token`` use it.

    ``token`` is one that may be shown to it, or why none is. Redirects are not followed, so it goes nowhere else.
    """
    url = url.rstrip("/").removesuffix("/hub") + "/"
    if url.startswith("http:") and not is_loopback(url):
        yield wrong("transport", f"{url}: passwords and tokens go over the network without encryption", "Use https.")
    trust = ssl.create_default_context()  # of this system, or of $SSL_CERT_FILE
    options: dict[str, Any] = {"timeout": PATIENCE, "trust_env": not is_loopback(url), "follow_redirects": False}
    try:
        with httpx.Client(base_url=url, verify=trust, **options) as http:
            yield from _hub(http, url, token)
    except httpx.HTTPError as error:
        yield _silent(url, error, may_be_down)
    except httpx.InvalidURL as error:
        yield wrong("hub", f"{url} is no address: {error}", ADDRESS)


def _silent(url: str, error: httpx.HTTPError, may_be_down: bool) -> Check:
    if may_be_down and isinstance(error, httpx.ConnectError) and "certificate" not in str(error).lower():
        return right("hub", f"nobody answers at {url}", "Start it with 'jupyterhub', and look again.")
    if "certificate" in str(error).lower():
        return wrong("hub", f"the certificate of {url} cannot be trusted: {error}", "Use the name that it is made for.")
    return wrong("hub", f"{url} does not answer: {error}", "Start the hub, or correct the address.")


def _hub(http: httpx.Client, url: str, token: str | Check) -> Iterator[Check]:
    answer = http.get("hub/api/")
    version = _json(answer).get("version")
    if answer.status_code != 200 or not version:
        yield wrong("hub", f"no hub answers at {url} (status {answer.status_code})", ADDRESS)
        return
    yield right("hub", f"JupyterHub {version} answers at {url}")
    gateway = _gateway(http)
    yield gateway
    if gateway.ok:
        yield _prefix(http, url)
    yield from _as_user(http, token)


def _gateway(http: httpx.Client) -> Check:
    """Nobody in particular asks: a gateway that runs wants to know who that is."""
    path = f"services/{NAME}/"
    answer = http.get(f"{path}api/v1/storages")
    if answer.status_code == 401 and f'realm="{NAME}"' in answer.headers.get("WWW-Authenticate", ""):
        return right("gateway", f"it answers at {http.base_url}{path}")
    if answer.status_code in UNREACHABLE:
        return wrong("gateway", "the proxy cannot reach it", "Start it, or correct the url in configure().")
    problem = _json(answer)
    if answer.status_code == 503 and problem.get("code") == "gateway-not-running":
        return wrong("gateway", f"it does not run: {problem.get('detail')}", str(problem.get("next_step")))
    if answer.status_code == 404:
        return wrong("gateway", "it is not a service of this hub", CONFIGURE)
    message = f"something else answers at {http.base_url}{path} (status {answer.status_code})"
    return wrong("gateway", message, "See what listens at the url that configure() was given.")


def _prefix(http: httpx.Client, url: str) -> Check:
    """Its own page sends who is not signed in to the hub: below the same base URL as we came in by."""
    answer = http.get(f"services/{NAME}/", headers={"Accept": "text/html"})
    target = urlsplit(answer.headers.get("Location", ""))
    base = urlsplit(url).path
    if answer.is_redirect and not target.path.startswith(base):
        message = f"it sends browsers to {target.path}, and the hub lies below {base}"
        return wrong("gateway", message, "Correct base_url, and [hub] in the gateway's scigate.toml.")
    return right("gateway", "browsers are sent to the hub's own sign-in" if answer.is_redirect else "its page answers")


def _as_user(http: httpx.Client, token: str | Check) -> Iterator[Check]:
    if isinstance(token, Check):
        yield token
        return
    known = http.get("hub/api/user", headers={"Authorization": f"token {token}"})
    if known.status_code != 200:
        yield wrong(
            "token", f"the hub does not take it (status {known.status_code})", "Start the notebook server again."
        )
        return
    user = _json(known)
    held = {str(scope).partition("!")[0] for scope in user.get("scopes", ())}
    who = f"{user.get('name')} of {', '.join(user.get('groups') or ()) or 'no groups'}"
    if "access:services" not in held or rights.READ not in held:
        missing = " and ".join(sorted({"access:services", rights.READ} - held))
        step = f"{CONFIGURE} Then start the notebook server again: its token was made without."
        yield wrong("token", f"it is of {who}, and lacks {missing}", step)
        return
    yield right("token", f"it is of {who}, who may {_may(held)}")
    yield _accepted(http, token)


def _may(held: set[str]) -> str:
    words = {rights.READ: "read", rights.WRITE: "write", rights.CURATE: "curate", rights.ADMIN: "administer"}
    return ", ".join(word for scope, word in words.items() if scope in held)


def _accepted(http: httpx.Client, token: str) -> Check:
    answer = http.get(f"services/{NAME}/api/v1/status", headers={"Authorization": f"Bearer {token}"})
    if answer.status_code == 200:
        return right("gateway", f"version {_json(answer).get('version')} takes this token")
    problem = _json(answer)
    message = f"it does not take this token: {problem.get('detail') or answer.status_code}"
    return wrong("gateway", message, str(problem.get("next_step") or "Look into the log of the hub."))


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
