"""What all our handlers share: who asks and whether they may is known before the body; errors are problems."""

from __future__ import annotations

import json
import logging
import secrets
from http.client import responses
from typing import Any, Final

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError

from .problem import Refusal, from_http

log = logging.getLogger(__name__)
RESOURCE: Final = "scigate"
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
DRAINED: Final = 1 << 20
"""A refused body up to this size is read, so that the client sees the answer."""


class ProblemHandler(JupyterHandler):
    """Checks in ``prepare``, so that not a byte of a body is used before: signed in, of our own pages (Jupyter's XSRF
    rules), and allowed by the server's authorizer to ``read`` or ``write`` the resource ``scigate``."""

    auth_resource = RESOURCE
    refused: Refusal | HTTPError | None = None
    """Why this request is not served; said when its body has been read."""

    @property
    def action(self) -> str:
        """What the authorizer is asked about."""
        return "read" if self.request.method in READS else "write"

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter's own
        self._transforms: list[Any] = []  # what the gateway answers is passed on as it is, never compressed here
        try:
            await super().prepare(_redirect_to_login=False)
            if not self.check_origin():
                raise Refusal(403, "foreign-origin", "A page of another site cannot use this.",
                              next_step="Use a page of this Jupyter Server.")  # fmt: skip
            if not await self.is_allowed(self.action):
                raise not_allowed(self.action)
            await self.begin()
        except (Refusal, HTTPError) as error:
            if self.content_length() > DRAINED or "Transfer-Encoding" in self.request.headers:
                raise  # the body is not read, so the connection is closed
            self.refused = error

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
        if self.refused is not None:
            raise self.refused

    get = head = post = put = patch = delete = options = dispatch

    def prefix(self) -> str:
        """The path of our addresses at this server, without a slash at its end."""
        return str(url_path_join(self.base_url, "scigate"))

    def compute_etag(self) -> None:
        """No automatic ETag: where there is one, it is the storage's version."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        problem = self._problem(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(problem.status, responses.get(problem.status, "Error"))
        self.set_header("Content-Type", "application/problem+json")
        self.set_header("Cache-Control", "no-store")
        if problem.retriable and problem.status == 503:
            self.set_header("Retry-After", "2")
        self.finish(json.dumps(problem.as_json()))

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
