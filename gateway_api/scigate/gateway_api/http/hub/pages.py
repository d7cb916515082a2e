"""The pages of a gateway that serves a hub: who opens them signs in at the hub (OAuth 2), and stays so by a cookie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from pydantic import Field
from tornado.httputil import HTTPInputError, HTTPServerRequest, parse_body_arguments
from tornado.web import HTTPError

from ...actor import Actor, Role
from ...problems import Problem
from ...resources import TransferFile
from ..body import malformed
from ..handler import NOBODY, Handler
from ..route import Query, Route
from . import views

if TYPE_CHECKING:
    from ...gateway import Gateway
    from ..server import Site

SHOWN: Final = 50  # transfers
FORM_MAX: Final = 4096  # bytes


class HomeQuery(Query):
    """How the page is shown."""

    refresh: bool = Field(default=False, description="1: it renews itself, which who reads it aloud cannot use")


class SignInQuery(Query):
    """What the hub adds when it sends a browser back (RFC 6749 §4.1.2)."""

    code: str | None = Field(default=None, max_length=1000)
    state: str | None = Field(default=None, max_length=1000)
    error: str | None = Field(default=None, max_length=1000)
    error_description: str | None = Field(default=None, max_length=4000)
    error_uri: str | None = Field(default=None, max_length=4000)


class HubPage(HubOAuthenticated, Handler):  # type: ignore[misc]  # JupyterHub has no types
    """Base of the pages. Errors are pages too."""

    request: HTTPServerRequest
    site: Site

    def initialize(self, site: Site, route: Route, params: dict[str, str]) -> None:
        super().initialize(site, route, params)
        assert site.hub is not None, "it has these routes"
        self.hub_auth = site.hub.oauth

    async def authenticate(self) -> Actor:
        """Who is signed in; nobody else is refused, as they are sent to the hub."""
        return await self.hub_auth.signed_in(self) or NOBODY

    def show(self, html: str) -> None:
        """Answer with a page."""
        self.set_header("Content-Security-Policy", views.policy())
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(html)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        problem = self._problem(kwargs.get("exc_info", (None, None, None))[1])
        if problem.status == 405:
            return super().write_error(status_code, **kwargs)
        self.set_status(problem.status)
        if problem.retry_after is not None:
            self.set_header("Retry-After", str(max(1, round(problem.retry_after.total_seconds()))))
        return self.show(views.trouble(problem, home=self.site.url("/"), hub=self.hub_auth.hub_prefix))


class Home(HubPage):
    """``GET /``: how the gateway is, and one's own transfers."""

    async def get(self) -> None:
        self.raise_refusal()
        if not self.request.path.endswith("/"):
            self.redirect(self.site.url("/"))  # where its cookies are sent
            return
        if self.actor is NOBODY:
            self.redirect(self.get_login_url())
            return
        query, gateway = self.query, self.site.gateway
        assert isinstance(query, HomeQuery)
        own = replace(self.actor, roles=self.actor.roles - {Role.ADMIN})  # an admin's own, not everybody's
        status = await self.run(gateway.status, own)
        transfers = await self.run(_newest, gateway, own)
        if query.refresh:
            self.set_header("Refresh", str(views.REFRESH))
        links = views.Links(home=self.site.url("/"), sign_out=self.site.url("/sign-out"), hub=self.hub_auth.hub_prefix)
        self.show(views.home(self.actor, status, transfers, links, xsrf=self._token(), refresh=query.refresh))

    head = get

    def _token(self) -> str:
        token: bytes = self.xsrf_token
        return token.decode("ascii")


def _newest(gateway: Gateway, actor: Actor) -> list[views.Shown]:
    """The transfers that are shown; those without a name, with what they can be called by."""
    found = gateway.list_transfers(actor, state=None, after=None, limit=SHOWN).items
    return [(one, None if one.label else _first(gateway, actor, one.id)) for one in found]


def _first(gateway: Gateway, actor: Actor, id: str) -> TransferFile | None:
    return next(iter(gateway.list_files(actor, id, state=None, after=None, limit=1).items), None)


class SignIn(HubOAuthCallbackHandler, HubPage):  # type: ignore[misc]
    """``GET /oauth_callback``: the hub sends the browser back here."""

    async def get(self) -> None:
        self.raise_refusal()
        await self.hub_auth.model_of_cookie(self)
        try:
            await HubOAuthCallbackHandler.get(self)
        except HTTPError:
            raise Problem(
                403, "sign-in-failed", "Signing in did not work.", next_step="Open the page of the gateway once more.",
                detail="It took too long, was begun in another browser, or was broken off at the hub.",
            ) from None  # fmt: skip


class SignOut(HubPage):
    """``POST /sign-out``: this browser is nobody's any more. It works while the hub does not answer."""

    async def authenticate(self) -> Actor:
        """The form proves that it comes from our page, when it has been read."""
        self._hub_auth_user_cache = None
        self._form = bytearray()
        return NOBODY

    async def prepare_body(self) -> None:
        if self._content_length() > FORM_MAX:
            raise malformed("No form of ours is so long.")
        await super().prepare_body()

    def data_received(self, chunk: bytes) -> None:
        if len(self._form) <= FORM_MAX:
            self._form += chunk

    async def post(self) -> None:
        self.raise_refusal()
        kind = self.request.headers.get("Content-Type", "")
        try:
            if kind.partition(";")[0].strip() == "application/x-www-form-urlencoded":
                parse_body_arguments(kind, bytes(self._form), self.request.arguments, {})
            self.check_xsrf_cookie()
        except (HTTPError, HTTPInputError):
            raise Problem(
                403, "foreign-form", "This was not asked for by the page of the gateway.",
                next_step="Open the page of the gateway, and sign out there.",
            ) from None  # fmt: skip
        self.hub_auth.clear_cookie(self)
        self.show(views.signed_out(home=self.site.url("/"), hub=self.hub_auth.hub_prefix))
