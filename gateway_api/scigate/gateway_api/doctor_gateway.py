"""The doctor's look at a gateway that runs, or at the port it would take."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from scigate.storage_backends.dates import http_date

from .client import Gateway, GatewayError
from .client.access import DEFAULT_URL, check_chosen, check_url, find_token, is_loopback
from .client.errors import NotConfigured
from .resources import Check
from .settings import Settings

SKEW: Final = timedelta(seconds=30)
PATIENCE: Final = timedelta(seconds=10)  # for one answer: a busy machine takes seconds


def look_at_gateway(settings: Settings | None, env: Mapping[str, str], *, named: bool = True) -> Iterator[Check]:
    """Whether a gateway answers and accepts this user's token; or, if none runs, whether its port is free.

    ``named``: the user said which settings these are, so that a token may go where they say.
    """
    try:
        url = check_url(env.get("SCIGATE_URL") or _own_url(settings))
    except NotConfigured as error:
        yield _check(False, error.message, error.next_step)
        return
    if url.startswith("http:") and not is_loopback(httpx.URL(url).host):
        yield _check(False, f"{url}: tokens go over the network without encryption", "Put it behind https.")
    through_proxy, patience = not is_loopback(httpx.URL(url).host), PATIENCE.total_seconds()
    try:
        answer = httpx.get(f"{url}/api/v1/storages", timeout=patience, trust_env=through_proxy)
    except httpx.HTTPError as error:
        yield _nobody(url, settings, error)
        return
    if 'realm="scigate"' not in answer.headers.get("WWW-Authenticate", ""):  # what it answers to nobody in particular
        yield from _somebody_else(url, answer)
        return
    clocks = _clocks(answer)  # as long as it is new
    unnamed = None if named or settings is None or env.get("SCIGATE_URL") else settings.source
    yield from _as_user(url, env, unnamed)
    yield clocks


def _own_url(settings: Settings | None) -> str:
    if settings is None:
        return DEFAULT_URL
    if settings.gateway.public_url:
        return settings.gateway.public_url
    host = settings.gateway.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"


def _nobody(url: str, settings: Settings | None, error: httpx.HTTPError) -> Check:
    if settings is None or not isinstance(error, httpx.ConnectError):
        return _check(False, f"{url} does not answer: {error}", "Start it with 'scigate serve', or set SCIGATE_URL.")
    host, port = settings.gateway.host, settings.gateway.port
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return _check(True, f"it does not run; {host}:{port} is free", "Start it with 'scigate serve'.")
    except OSError as refused:
        return _check(False, f"it cannot listen on {host}:{port}: {refused.strerror}", "Change gateway.host or .port.")


def _somebody_else(url: str, answer: httpx.Response) -> Iterator[Check]:
    message = f"something else answers at {url} (status {answer.status_code})"
    yield _check(False, message, "Stop it, change gateway.port, or correct SCIGATE_URL.")


def _as_user(url: str, env: Mapping[str, str], unnamed: Path | None) -> Iterator[Check]:
    try:
        token = find_token(env)
    except NotConfigured:
        yield _check(True, f"it runs at {url}; without a token no more can be said", None)
        return
    try:
        if unnamed is not None:
            check_chosen(unnamed, url)
        with Gateway(url, token.reveal(), patience=timedelta(0), timeout=PATIENCE) as gateway:
            status = gateway.status()
    except GatewayError as error:
        yield _check(False, f"it runs at {url}, but: {error.message}", error.next_step)
        return
    yield _check(True, f"version {status.version} runs at {url}, {status.active} files are being moved", None)
    for seen in status.checks:
        if not seen.ok:
            yield Check(name=f"gateway: {seen.name}", ok=False, message=seen.message, next_step=seen.next_step)


def _clocks(answer: httpx.Response) -> Check:
    theirs = http_date(answer.headers.get("Date"))
    if theirs is None:
        return Check(name="clocks", ok=True, message="the gateway does not tell its time")
    apart = abs(datetime.now(UTC) - theirs)
    if apart > SKEW:
        message = f"the gateway's clock and this one are {apart.total_seconds():.0f} seconds apart"
        return Check(name="clocks", ok=False, message=message, next_step="Set both, e.g. by NTP.")
    return Check(name="clocks", ok=True, message="the gateway's clock and this one agree")


def _check(ok: bool, message: str, next_step: str | None) -> Check:
    return Check(name="gateway", ok=ok, message=message, next_step=next_step)
