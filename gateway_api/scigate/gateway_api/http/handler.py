"""What all requests share: who asks, limits, errors as problems, safe headers. It translates and decides nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from http.client import responses
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from scigate.storage_backends.errors import StorageError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from ..actor import Actor
from ..db.database import DatabaseUnavailable
from ..policy import Rule, check_admin, check_writes
from ..problems import Problem, from_storage
from .body import check_escapes, malformed, read_json, read_query
from .route import Answer, Call, Endpoint, Query, Route

if TYPE_CHECKING:
    from .connections import Connection
    from .server import Site

log = logging.getLogger(__name__)
access_log = logging.getLogger("scigate.access")
T = TypeVar("T")
NOBODY: Final = Actor("", "", roles=frozenset(), proof="none")
BODY_TIMEOUT: Final = 30.0  # seconds for a body that is read as a whole, or dropped
DRAINED: Final = 1 << 20  # a refused body up to this size is read, so that the client sees the answer
CHECKSUM_MISMATCH: Final = "Checksum Mismatch"
"""The phrase of 460, which tus 1.0 has added to HTTP."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
}


@stream_request_body
class Handler(RequestHandler):
    """Base of all handlers. Bodies are streamed, so that a caller is known before the first byte of theirs is read."""

    actor = NOBODY
    query: Query
    _stream: Connection | None = None
    lasts = False
    """Whether it goes on for as long as the client wants, so that its time says nothing about the gateway."""

    def initialize(self, site: Site, route: Route, params: dict[str, str]) -> None:
        self.site, self.route, self.params = site, route, params
        self._refused: Problem | StorageError | None = None
        self.error_headers: dict[str, str] = {}

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self._headers[name] = value  # ``set_header`` would look through them for what must not be in a header

    def compute_etag(self) -> None:
        """No automatic ETag: where there is one, it is the storage's version."""

    async def prepare(self) -> None:
        """Refuse early: a body is only read from a caller who may send one."""
        self.site.running.add(self)
        try:
            self.site.check_host(self.request.host)
            check_escapes(self.request.path)
            if self.route.rule is not Rule.ANYONE:
                self.actor = await self.authenticate()
                if self.actor is not NOBODY:
                    self.site.gateway.presence.seen(self.actor.id)
                    self._stream = self.request.connection.stream  # type: ignore[union-attr]
                    self.hold_connection()
                check_writes(self.actor, self.request.method or "", harmless=self.route.harmless)
            if self.route.rule is Rule.ADMIN:
                check_admin(self.actor)
            self.query = self.parse_query()
            await self.prepare_body()
        except (Problem, StorageError) as error:
            if self._content_length() > DRAINED or "Transfer-Encoding" in self.request.headers:
                self.error_headers["Connection"] = "close"  # the body is not read, so nothing can follow it
                raise
            self._refused = error  # said when the body has been drained

    async def authenticate(self) -> Actor:
        """Who asks; a ``Problem`` 401 for nobody."""
        given = self.request.headers.get("Authorization")
        return await self.site.authentication.actor(given, browser=self.route.browser)

    def parse_query(self) -> Query:
        """The query parameters of the route; a ``Problem`` for others."""
        return read_query(self.request.query, self.route.query)

    async def prepare_body(self) -> None:
        """Check what the headers say about the body. Here: that there is none worth keeping."""
        if self._content_length() > DRAINED or "Transfer-Encoding" in self.request.headers:
            raise too_large(DRAINED)

    def data_received(self, chunk: bytes) -> Any:
        """Take a piece of the body. Here: drop it."""

    def hold_connection(self) -> None:
        """Of somebody signed in: until the request is over it is not closed to make room for others."""
        assert self._stream is not None
        self.site.connections.busy(self._stream)

    def _ended(self) -> None:
        self.site.running.discard(self)
        if self._stream is not None:
            self.site.connections.idle(self._stream)

    def on_finish(self) -> None:
        self._ended()

    def log_access(self, seconds: float, note: str = "") -> None:
        """A line of the access log: what was asked and answered, by whom, and how long it took."""
        request = self.request
        access_log.info(
            "%s %s %d %.1f ms%s", request.method, request.path, self.get_status(), 1000 * seconds, note,
            extra={"user": self.actor.id or None, "remote": request.remote_ip},
        )  # fmt: skip

    def on_connection_close(self) -> None:
        self._ended()
        super().on_connection_close()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function`` in a thread: it may block."""
        return await self.run_in(self.site.storage_pool if self.route.storage else self.site.pool, function, *arguments)

    async def run_in(self, pool: Executor, function: Callable[..., T], *arguments: Any) -> T:
        """Call it in a thread of this pool. ``Problem`` 503 if there is no thread."""
        try:
            begun = asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except RuntimeError as error:  # the system gives no thread, or we stop
            log.warning("%s %s: no thread for it: %s", self.request.method, self.request.path, error)
            raise _overloaded() from None
        return await begun

    def raise_refusal(self) -> None:
        """Say what was found wrong before the body had been read."""
        if self._refused:
            raise self._refused

    def write_answer(self, answer: Answer) -> None:
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        if answer.body is None:
            return
        self.set_header("Content-Type", answer.media_type)
        self.finish(answer.body if isinstance(answer.body, str) else dumps(answer.body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = self._problem(error)
        self.set_status(problem.status, _phrase(problem.status))
        self.set_header("Content-Type", "application/problem+json")
        for name, value in self.error_headers.items():
            self.set_header(name, value)
        if problem.status == 401:
            self._challenge()
        if isinstance(error, HTTPError):
            self.set_header("Connection", "close")  # tornado refused it before it was read
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self.site.allowed(self.request.path)))
        if problem.retry_after is not None:
            self.set_header("Retry-After", str(max(1, round(problem.retry_after.total_seconds()))))
        self.finish(json.dumps(problem.as_json(self.request.path)))

    def log_exception(self, *error: Any) -> None:
        """Only what comes too late for an answer: ``_problem`` logs the rest, unless it is the client's mistake."""
        if self._headers_written:
            log.error("error after the answer began: %s %s", self.request.method, self.request.path, exc_info=error)

    def _problem(self, error: BaseException | None) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, StorageError):
            return from_storage(error)
        if isinstance(error, DatabaseUnavailable):
            return _no_database()
        if error is None:  # told by the web server alone, of a request that it cancels because we stop
            return _overloaded()
        if isinstance(error, HTTPError):
            return _unread(error, self.request.method or "")
        number = secrets.token_hex(8)
        log.error("error %s in %s %s", number, self.request.method, self.request.path, exc_info=error)
        return Problem(
            500,
            "internal-error",
            "Something is wrong inside the gateway.",
            detail=f"The log of the gateway tells more about error {number}.",
            next_step="Tell an admin the number of this error.",
        )

    def _challenge(self) -> None:
        self.set_header("WWW-Authenticate", 'Bearer realm="scigate"')
        if self.route.browser:
            self.add_header("WWW-Authenticate", 'Basic realm="scigate: any name, your token as password"')

    def _content_length(self) -> int:
        value = self.request.headers.get("Content-Length", "0")
        return int(value) if value.isascii() and value.isdigit() else 0


class JsonHandler(Handler):
    """Calls the endpoint function of its route with everything parsed."""

    def initialize(self, site: Site, route: Route, params: dict[str, str]) -> None:
        super().initialize(site, route, params)
        self._body = bytearray()

    async def prepare_body(self) -> None:
        if self.route.body is None:
            return await super().prepare_body()
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem(
                415,
                "unsupported-media-type",
                "The body has to be JSON.",
                next_step="Send it with 'Content-Type: application/json'.",
            )
        if self._content_length() > self.site.body_max:
            raise too_large(self.site.body_max)
        return None

    def data_received(self, chunk: bytes) -> None:
        if self._refused or self._finished:
            return
        if self.route.body is not None:
            self._body += chunk
        if len(self._body) > self.site.body_max:  # only a chunked body comes here
            self.error_headers["Connection"] = "close"
            self.send_error(exc_info=(Problem, too_large(self.site.body_max), None))

    async def dispatch(self) -> None:
        self.raise_refusal()
        model = self.route.body
        body = read_json(bytes(self._body), model) if isinstance(model, type) else None
        key = idempotency_key(self.request.headers.get("Idempotency-Key"))
        call = Call(self.actor, self.params, self.query, body, key, self.site.url)
        self.write_answer(await self._answer(call))

    async def _answer(self, call: Call) -> Answer:
        """Asked here where that takes nothing, from a database on this machine; else in a thread."""
        gateway, route = self.site.gateway, self.route
        endpoint: Endpoint = route.endpoint  # type: ignore[assignment]  # else this is not its handler
        if self.site.reads_alone and route.quick(self.query):
            return endpoint(gateway, call)
        if self.site.reads_alone and route.begun and (begun := route.begun(gateway, call)):
            commit, answer = begun
            return answer(await self.site.commits.result(commit))
        return await self.run(endpoint, gateway, call)

    get = head = post = put = delete = dispatch


class NotFoundHandler(Handler):
    """For paths and methods that no route has."""

    def parse_query(self) -> Query:
        """Whatever it is: what is wrong is something else."""
        return Query()

    async def dispatch(self) -> None:
        self.raise_refusal()
        if self.site.allowed(self.request.path):
            raise _method_not_allowed(self.request.method or "")
        raise Problem(404, "not-found", "There is nothing at this path.", next_step="See /docs for what there is.")

    get = head = post = put = delete = patch = options = dispatch


def _phrase(status: int) -> str:
    return CHECKSUM_MISMATCH if status == 460 else responses.get(status, "Error")


def _unread(error: HTTPError, method: str) -> Problem:
    """What tornado refused before it was read."""
    if error.status_code == 405:
        return _method_not_allowed(method)
    return malformed(f"{error.reason or responses.get(error.status_code, 'It is not HTTP')}.")


def _method_not_allowed(method: str) -> Problem:
    return Problem(
        405,
        "method-not-allowed",
        f"{method} is not possible here.",
        next_step="Use one of the methods in the header Allow.",
    )


def _no_database() -> Problem:
    return Problem(
        503,
        "database-unavailable",
        "The gateway cannot reach its database.",
        next_step="Try again in a minute; an admin finds the reason with 'scigate doctor'.",
        retriable=True,
        retry_after=timedelta(seconds=5),
    )


def _overloaded() -> Problem:
    return Problem(
        503, "overloaded", "The gateway cannot answer this now: it has too much to do, or stops.",
        next_step="Try again in a few seconds.", retriable=True, retry_after=timedelta(seconds=5),
    )  # fmt: skip


def too_large(limit: int) -> Problem:
    return Problem(
        413, "body-too-large", f"The body is larger than {limit} bytes.", next_step="Split the request and try again."
    )


def idempotency_key(value: str | None) -> str | None:
    """The header as it may be stored: visible ASCII, at most 255 characters."""
    if value is None or (0 < len(value) <= 255 and value.isascii() and value.isprintable()):
        return value
    raise malformed("Idempotency-Key has to be 1 to 255 characters of visible ASCII.")


def dumps(value: BaseModel) -> str:
    """JSON in ASCII, so that surrogate escapes in paths survive (``resources.PathText``)."""
    try:
        return value.__pydantic_serializer__.to_json(value, ensure_ascii=True).decode("ascii")
    except PydanticSerializationError:  # it writes UTF-8, which has no surrogates
        pass
    return json.dumps(value.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":"))


def url_path(prefix: str, template: str, **parameters: str) -> str:
    """``template`` with its parameters percent-encoded, bytes exactly."""
    quoted = {
        name: quote(value.encode("utf-8", "surrogateescape"), safe="/" if name == "path" else "")
        for name, value in parameters.items()
    }
    return prefix + template.format(**quoted)


def host_of(netloc: str) -> str:
    """The host without port, in lower case; empty if it is no host."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""
