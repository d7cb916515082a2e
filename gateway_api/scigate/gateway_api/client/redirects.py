"""Fetching a file from the storage itself, where the gateway has sent us: without our token, its URL in no log."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from urllib.request import getproxies, proxy_bypass

import httpx

from .errors import GatewayFailed, GatewayUnreachable, RequestInvalid, RequestRefused


class Storages:
    """Connections to storages; may be used by many threads.

    They are kept apart from the connection to the gateway, so that none of its headers, the token above all, can go
    along; and they are httpx's transports, because its client logs every URL, and such a URL is a key to the file.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = httpx.Timeout(timeout.total_seconds(), connect=min(5.0, timeout.total_seconds())).as_dict()
        self._transports: dict[str | None, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    @contextmanager
    def get(self, redirect: httpx.Response, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The answer of the storage to ``redirect``, its body still to be read."""
        url = _target(redirect)
        request = httpx.Request("GET", url, headers=dict(headers), extensions={"timeout": self._timeout})
        try:
            response = self._transport(url).handle_request(request)
        except httpx.TransportError as error:
            raise type(error)(f"the storage at {url.host} does not answer ({type(error).__name__})") from None
        response.request = request
        try:
            yield _checked(response, headers)
        finally:
            response.close()

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def _transport(self, url: httpx.URL) -> httpx.HTTPTransport:
        proxy = None if proxy_bypass(url.host) or _is_local(url.host) else getproxies().get(url.scheme)
        with self._lock:
            if proxy not in self._transports:
                self._transports[proxy] = httpx.HTTPTransport(proxy=proxy, limits=httpx.Limits(max_connections=32))
            return self._transports[proxy]


def _target(redirect: httpx.Response) -> httpx.URL:
    try:
        url = httpx.URL(redirect.headers.get("Location", ""))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise GatewayUnreachable(
            "The gateway sends this download to no place that can be fetched from.",
            next_step="Ask an admin whether presign_downloads of this storage works.",
        )
    return url


def _checked(response: httpx.Response, headers: Mapping[str, str]) -> httpx.Response:
    """The response if it can be used; 416 for a part of another version, which a storage may send all the same."""
    wanted = headers.get("If-Range")
    if response.status_code == 206 and wanted and response.headers.get("ETag") != wanted:
        raise _refused(416)
    if response.status_code not in (200, 206):
        raise _refused(response.status_code)
    return response


def _refused(status: int) -> RequestRefused:
    kind = GatewayFailed if status >= 500 else RequestInvalid
    advice = "Get it again: the gateway makes a new link. If it stays so, ask an admin about presign_downloads."
    detail = f"The storage answered with status {status} to the link that the gateway has made."
    return kind(status, {"detail": detail, "next_step": advice, "retriable": status >= 500 or status == 403})


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
