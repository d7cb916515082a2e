"""What all our handlers share: who asks and whether they may is known before the body; errors are problems."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable
from http.client import responses
from typing import Any, Final

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.web import Finish, HTTPError, stream_request_body

from .problem import Refusal, from_http

log = logging.getLogger(__name__)
RESOURCE: Final = "scigate"
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
DRAINED: Final = 1 << 20
"""A refused body up to this size is read before it is answered; of a larger one the answer comes first."""
LINGER: Final = 8 << 20
"""So much of a refused body is read behind the answer: who closes at once takes it back from a client that still sends
(RFC 9112 §9.6)."""
LINGER_SECONDS: Final = 10.0


@stream_request_body
class ProblemHandler(JupyterHandler):
    """Checks in ``prepare``, so that not a byte of a body is used before: signed in, of our own pages (Jupyter's XSRF
    rules), and allowed by the server's authorizer to ``read`` or ``write`` the resource ``scigate``."""

    auth_resource = RESOURCE
    refused: Refusal | HTTPError | None = None
    """Why this request is not served; said when its body has been read."""
    _dropped = 0

    @property
    def action(self) -> str:
        """What the authorizer is asked about."""
        return "read" if self.request.method in READS else "write"

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter's own
        self._transforms: list[Any] = []  # what the gateway answers is passed on as it is, never compressed here
        try:
            await super().prepare(_redirect_to_login=False)
            if self.current_user is None:  # Jupyter Server leaves that to each handler, by default
                raise HTTPError(403)
            if not self.check_origin():
                raise Refusal(403, "foreign-origin", "A page of another site cannot use this.",
                              next_step="Use a page of this Jupyter Server.")  # fmt: skip
            if not await self.is_allowed(self.action):
                raise not_allowed(self.action)
            await self.begin()
        except (Refusal, HTTPError) as error:
            self.refused = error
            if self.content_length() > DRAINED or "Transfer-Encoding" in self.request.headers:
                self.request.connection.set_body_timeout(LINGER_SECONDS)  # type: ignore[union-attr]
                await self.answer_early()

    async def answer_early(self) -> None:
        """Answer a request whose body is not wanted, and let the client see that before the connection is closed."""
        self.set_header("Connection", "close")
        self.write_problem(self._problem(0, self.refused))
        await self.flush()

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Take a piece of the body. Here: drop it."""
        self.drop(chunk)
        return None

    def drop(self, chunk: bytes) -> None:
        """Take a piece of a body that is not wanted; after so many of them the connection is closed."""
        self._dropped += len(chunk)
        if self._dropped > LINGER and not self._finished:
            self.request.connection.close()  # type: ignore[union-attr]

    async def begin(self) -> None:
        """The caller is known and allowed; the body has not been read. May raise ``Refusal``."""

    async def is_allowed(self, action: str) -> bool:
        """Whether the server's authorizer lets this user do it."""
        allowed = self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)
        return bool(await ensure_async(allowed))

    def content_length(self) -> int:
        value = self.request.headers.get("Content-Length", "0")
        return int(value) if value.isascii() and value.isdigit() else 0

    async def dispatch(self) -> None:
        """Answer. Here: say what is wrong."""
        self.raise_refusal()

    def raise_refusal(self) -> None:
        """To be called first by what answers: it has to be known by then that the request is served."""
        if self._headers_written:  # it was answered while its body came
            raise Finish
        if self.refused is not None:
            raise self.refused

    get = head = post = put = patch = delete = options = dispatch

    def prefix(self) -> str:
        """The path of our addresses at this server, without a slash at its end."""
        return str(url_path_join(self.base_url, "scigate"))

    def compute_etag(self) -> None:
        """No automatic ETag: where there is one, it is the storage's version."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.write_problem(self._problem(status_code, kwargs.get("exc_info", (None, None, None))[1]))
        self.finish()

    def write_problem(self, problem: Refusal) -> None:
        body = json.dumps(problem.as_json())
        self.set_status(problem.status, responses.get(problem.status, "Error"))
        self.set_header("Content-Type", "application/problem+json")
        self.set_header("Cache-Control", "no-store")
        if problem.retriable and problem.status == 503:
            self.set_header("Retry-After", "2")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)

    def log_exception(self, *error: Any) -> None:
        """``_problem`` logs what is a bug; the rest is said to the client."""

    def _problem(self, status: int, error: BaseException | None) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, HTTPError):
            message = error.log_message or error.reason or ""
            return from_http(error.status_code, message, known=getattr(self, "_jupyter_current_user", None) is not None)
        number = secrets.token_hex(8)
        log.error("error %s in %s %s", number, self.request.method, self.request.path, exc_info=error)
        return Refusal(
            500, "internal-error", "Something is wrong inside SciGate's Jupyter extension.",
            detail=f"The log of the Jupyter Server tells more about error {number}.",
            next_step="Report it, with what the log says about this number.",
        )  # fmt: skip


def not_allowed(action: str) -> Refusal:
    """The server's authorizer says no."""
    return Refusal(
        403, "access-denied", f"You may not {action} with SciGate at this Jupyter Server.",
        next_step="Ask whoever owns or administers this Jupyter Server.",
    )  # fmt: skip
