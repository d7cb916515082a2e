"""Requests to the gateway: authenticated, retried where that is safe, problems turned into exceptions."""

from __future__ import annotations

import itertools
import json
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import httpx

from ..resources import Resource
from .access import Access
from .errors import (
    AccessRefused,
    Conflict,
    GatewayError,
    GatewayFailed,
    GatewayUnreachable,
    NotFound,
    RequestInvalid,
    RequestRefused,
)
from .redirects import Storages

PREFIX: Final = "/api/v1/"
_BY_STATUS: Final[Mapping[int, type[RequestRefused]]] = {
    401: AccessRefused,
    403: AccessRefused,
    404: NotFound,
    409: Conflict,
    412: Conflict,
}
R = TypeVar("R", bound=Resource)


class Session:
    """One user's connections to one gateway; may be used by many threads.

    ``patience`` is how long connection errors and "come back later" answers are tried again.
    """

    def __init__(self, access: Access, patience: timedelta, timeout: timedelta, upload_patience: timedelta) -> None:
        self.access = access
        self.patience = patience
        self.upload_patience = upload_patience
        if access.url.startswith("http:") and not access.is_loopback:
            warnings.warn(f"the token goes to {access.url} without encryption; use https", stacklevel=3)
        self._http = httpx.Client(
            base_url=access.url + PREFIX,
            headers={
                "Authorization": f"Bearer {access.token.reveal()}",
                "User-Agent": f"scigate-client/{version('scigate')}",
            },
            timeout=httpx.Timeout(timeout.total_seconds(), connect=min(5.0, timeout.total_seconds())),
            limits=httpx.Limits(max_connections=32),
            trust_env=not access.is_loopback,  # a proxy from the environment cannot reach this machine
        )

        self._elsewhere = Storages(timeout)

    def close(self) -> None:
        self._http.close()
        self._elsewhere.close()

    def read(
        self, kind: type[R], path: str, params: Mapping[str, Any] | None = None, *, timeout: timedelta | None = None
    ) -> R:
        """GET a resource; ``timeout`` instead of the usual one."""
        return parse(kind, self.send("GET", path, params=params, repeatable=True, timeout=timeout))

    def send(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> httpx.Response:
        """One request. ``repeatable``: asking twice does no harm (GET, or an Idempotency-Key goes with it)."""
        deadline = time.monotonic() + self.patience.total_seconds()
        for attempt in itertools.count():
            try:
                return self.once(
                    method, path, params=params, body=body, content=content, headers=headers, stalled=timeout
                )
            except (httpx.TransportError, RequestRefused) as error:
                pause = pause_before_retry(error, attempt, repeatable)
                if pause is None or time.monotonic() + pause > deadline:
                    raise self.explained(error) from None
                time.sleep(pause)
        raise AssertionError("the deadline ends the loop")

    def once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        headers: Mapping[str, str] | None = None,
        stalled: timedelta | None = None,
    ) -> httpx.Response:
        """One request, tried once; connection errors pass as they are, problems are raised.

        ``stalled``: instead of the usual timeout, how long no byte of request or answer may move.
        """
        request = self._request(method, path, params=params, body=body, content=content, headers=headers)
        if stalled is not None:
            request.extensions["timeout"] = httpx.Timeout(stalled.total_seconds()).as_dict()
        return checked(self._http.send(request))

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """GET with the body still to be read; connection errors pass as they are, problems are raised.

        It follows the gateway to the storage itself, and takes the gateway's word for the digest of that version.
        """
        given = dict(headers or {})
        with self._http.stream("GET", path, headers=given) as response:
            if response.status_code != 307:
                if response.status_code >= 400:
                    response.read()
                yield checked(response)
                return
        word = self._http.head(path).headers
        with self._elsewhere.get(response, given) as body:
            if "Repr-Digest" in word and word.get("ETag") == body.headers.get("ETag"):
                body.headers["Repr-Digest"] = word["Repr-Digest"]
            yield body

    def explained(self, error: Exception) -> Exception:
        """A connection error as one of ours; ours as they are."""
        if not isinstance(error, httpx.TransportError):
            return error
        secret = isinstance(error, httpx.LocalProtocolError)  # its text may show the header that holds the token
        reason = type(error).__name__ if secret else str(error) or type(error).__name__
        return GatewayUnreachable(f"The gateway at {self.access.url} does not answer: {reason.rstrip('.')}.")

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None,
        body: Any,
        content: Callable[[], Iterator[bytes]] | None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Request:
        sent = dict(headers or {})
        data: bytes | Iterator[bytes] | None = content() if content else None
        if body is not None:
            data = json.dumps(body).encode("ascii")
            sent["Content-Type"] = "application/json"
        given = {key: value for key, value in (params or {}).items() if value is not None}
        query = f"?{urlencode(given, errors='surrogateescape')}" if given else ""
        return self._http.build_request(method, path + query, content=data, headers=sent)


def file_path(storage: str, path: str) -> str:
    """The resource of a file; names that are not UTF-8 keep their bytes (PEP 383, RFC 3986 §2.5)."""
    return f"files/{quote(storage)}/{quote(path.encode('utf-8', 'surrogateescape'), safe='/')}"


def parse(kind: type[R], response: httpx.Response) -> R:
    """The resource in an answer. Python's own JSON: pydantic's refuses names that are not UTF-8."""
    try:
        return kind.model_validate(json.loads(response.content))
    except ValueError as error:
        raise _not_a_gateway(response, f"its answer is not a {kind.__name__} ({type(error).__name__})") from None


def checked(response: httpx.Response) -> httpx.Response:
    """The response if it is a success, else the exception it stands for."""
    if response.is_success:
        return response
    if response.status_code < 400:
        raise _not_a_gateway(response, f"it answers with status {response.status_code}")
    if response.status_code in (404, 405, 501) and "code" not in _problem(response):
        raise _not_a_gateway(response, f"it answers with status {response.status_code}")
    default = RequestInvalid if response.status_code < 500 else GatewayFailed
    kind = _BY_STATUS.get(response.status_code, default)
    raise kind(response.status_code, _problem(response), retry_after=_retry_after(response))


def pause_before_retry(error: Exception, attempt: int, repeatable: bool) -> float | None:
    """Seconds until the next try, full jitter; None: do not try again."""
    never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if isinstance(error, RequestRefused):
        if not (repeatable and error.retriable and error.status in (429, 503)):
            return None
        if error.retry_after is not None:
            return error.retry_after.total_seconds()
    elif not (repeatable or never_sent) or isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return None
    return random.uniform(0, min(2.0, 0.1 * 2 ** min(attempt, 10)))  # noqa: S311 jitter is not a secret


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    advice = "This is not an answer of the gateway itself: look at the proxy before it, or check SCIGATE_URL."
    return {"title": f"The gateway answered with status {response.status_code}.", "next_step": advice}


def _retry_after(response: httpx.Response) -> timedelta | None:
    value = response.headers.get("Retry-After", "")
    return timedelta(seconds=int(value)) if value.isascii() and value.isdigit() and len(value) < 8 else None


def _not_a_gateway(response: httpx.Response, reason: str) -> GatewayError:
    return GatewayUnreachable(
        f"{response.request.url.copy_with(query=None)} does not look like a SciGate gateway: {reason}.",
        next_step="Check SCIGATE_URL.",
    )
