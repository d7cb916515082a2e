"""The routes that a gateway has besides when it serves a hub."""

from __future__ import annotations

from typing import Final

from ...policy import Rule
from ..route import Route
from .pages import Home, HomeQuery, SignIn, SignInQuery, SignOut

PAGES: Final = (
    Route("GET", "/", Rule.PAGE, "The gateway and your transfers, as a page", Home, "text/html", query=HomeQuery),
    Route("GET", "/oauth_callback", Rule.ANYONE, "The end of signing in", SignIn, None, 302, query=SignInQuery),
    Route("POST", "/sign-out", Rule.PAGE, "Sign out of the pages", SignOut, "text/html",
          body="application/x-www-form-urlencoded", harmless=True),
)  # fmt: skip
