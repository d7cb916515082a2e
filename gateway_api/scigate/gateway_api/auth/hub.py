"""Asks the hub who somebody is: by a token of the hub's, or by the cookie of our own pages (OAuth 2).

JupyterHub's own client does it. Around it is what a service that strangers can reach needs: its answers are believed
for seconds only, good and bad ones alike; the same question is asked once at a time, few at once, and not for ever; and
a hub that does not answer is told apart from a token that is not known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final

from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError

from ..actor import Actor
from ..problems import Problem
from ..settings import HubSection
from .hub_user import actor_of
from .page_ticket import LIFETIME

log = logging.getLogger(__name__)
PATIENCE: Final = 10.0  # seconds for an answer, and as long to be asked at all
AT_ONCE: Final = 16  # questions that the hub is asked at a time; it has one thread
MOST_WAITING: Final = 1000  # questions
REMEMBERED: Final = 10_000  # answers, and sign-ins that were begun
LONGEST_TOKEN: Final = 500  # characters
TOLD_EVERY: Final = 60.0  # seconds

Model = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub said, and when it was asked: on the clock that is never set, and since 1970."""

    model: Model | None
    asked: float
    time: float


class Hub(HubOAuth):  # type: ignore[misc]  # JupyterHub has no types
    """The hub, as the handlers of JupyterHub know it, for the one event loop of the gateway."""

    def __init__(self, section: HubSection) -> None:
        super().__init__(
            api_url=section.api_url.rstrip("/"),
            api_token=section.api_token.reveal(),
            base_url=section.prefix,
            hub_prefix=f"{section.base_url}hub/",
            oauth_client_id=section.client_id or f"service-{section.service_name}",
            oauth_redirect_uri=f"{section.prefix}oauth_callback",
            access_scopes={f"access:services!service={section.service_name}"},
        )
        self.cookie_options = {"samesite": "Lax", **super().cookie_options}
        self.service, self._believed = section.service_name, section.cache.total_seconds()
        self._answers: dict[str, Answer] = {}
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._told = 0.0
        logging.getLogger("tornado.application").addFilter(_is_ours)

    async def actor(self, token: str) -> Actor | None:
        """Whose token this is, see ``HubUsers``."""
        return self._actor(await self._answer(token, ""))

    async def user_for_token(self, token: str, *_: Any, session_id: str = "", **__: Any) -> Model | None:
        """The hub's model of whose token this is; None: nobody's. ``Problem`` 503 if the hub does not say."""
        return (await self._answer(token, session_id)).model

    async def signed_in(self, handler: Any) -> Actor | None:
        """Who is signed in to our pages in this browser. ``Problem`` 403 for who has no right here, 503 if the hub does
        not say."""
        if await self.model_of_cookie(handler) is None:
            return None
        return self._actor(await self._answer(self._get_token_cookie(handler), self.get_session_id(handler)))

    async def model_of_cookie(self, handler: Any) -> Model | None:
        """The hub's model of who is signed in in this browser, by the cookie alone.

        A script of another page of the hub, perhaps of another user's server, is nobody: it shows no XSRF token.
        """
        handler._hub_auth_user_cache = None  # until it is known: who asks for it would keep everybody waiting
        if not self.get_token(handler, in_cookie=False):
            handler._hub_auth_user_cache = await self.get_user(handler, sync=False)
        model: Model | None = handler._hub_auth_user_cache
        return model

    def generate_state(self, next_url: str | None = None, **extra: Any) -> str:
        """As JupyterHub's, but strangers who begin to sign in, again and again, cannot fill the memory."""
        if len(self._oauth_states) >= REMEMBERED:
            self._oauth_states.clear()
        state: str = super().generate_state(next_url, **extra)
        return state

    def _actor(self, answer: Answer) -> Actor | None:
        if answer.model is None:
            return None
        return actor_of(answer.model, self.service, answer.time + LIFETIME.total_seconds())

    async def _answer(self, token: str, session: str) -> Answer:
        if not (token.isascii() and token.isprintable() and len(token) <= LONGEST_TOKEN):
            return Answer(None, time.monotonic(), time.time())
        key = sha256(f"{token}\0{session}".encode()).hexdigest()  # as long as that, however long a cookie is
        known = self._answers.get(key)
        if known is not None and time.monotonic() - known.asked < self._believed:
            return known
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= MOST_WAITING:
                raise _busy()
            task = self._asking[key] = asyncio.create_task(self._ask(token, key))
            task.add_done_callback(partial(self._asked, key))
        return await asyncio.shield(task)  # whoever else waits for it is not to suffer when one is gone

    async def _ask(self, token: str, key: str) -> Answer:
        try:
            await asyncio.wait_for(self._gate.acquire(), PATIENCE)
        except TimeoutError:
            raise _busy() from None
        try:
            asked, since_1970 = time.monotonic(), time.time()
            question = HubOAuth.user_for_token(self, token, use_cache=False, sync=False)
            model = await self._patiently(question)
        finally:
            self._gate.release()
        answer = self._answers[key] = Answer(model, asked, since_1970)
        if len(self._answers) > REMEMBERED:
            self._forget()
        return answer

    async def token_for_code(self, code: str, *_: Any, sync: bool = False, **more: Any) -> str:
        """As JupyterHub's: ``HTTPError`` if the hub refuses the code, ``Problem`` 503 if it does not answer."""
        question = HubOAuth.token_for_code(self, code, sync=False, **more)
        token: str = await self._patiently(question, may_be_refused=True)
        return token

    async def _patiently(self, question: Awaitable[Any], *, may_be_refused: bool = False) -> Any:
        try:
            return await asyncio.wait_for(question, PATIENCE)
        except (HTTPError, TimeoutError, ValueError) as error:  # ValueError: it is not JSON, so it is no hub
            why = error.log_message if isinstance(error, HTTPError) else str(error) or "it takes too long"
            if may_be_refused and (why or "").startswith("Failed to check authorization"):
                raise
            self._tell(why)
            raise _unreachable() from None

    def _tell(self, why: str | None) -> None:
        """In the log, but not for every request."""
        if not self._told or time.monotonic() - self._told > TOLD_EVERY:
            self._told = time.monotonic()
            log.warning("the hub at %s cannot be asked who somebody is: %s", self.api_url, why)

    def _asked(self, key: str, task: asyncio.Task[Answer]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited was told; perhaps nobody waits any more

    def _forget(self) -> None:
        """What is too old to be believed; and everything, if strangers have asked for so much in seconds."""
        now = time.monotonic()
        fresh = {key: one for key, one in self._answers.items() if now - one.asked < self._believed}
        self._answers = fresh if len(fresh) < REMEMBERED else {}


def _is_ours(record: logging.LogRecord) -> bool:
    """Lines of JupyterHub's client name session ids and states of sign-ins; what matters in them is said by us."""
    return "jupyterhub" not in record.pathname


def _unreachable() -> Problem:
    return Problem(
        503, "hub-unreachable", "The hub cannot be asked who you are.",
        next_step="Try again in a few seconds; if it stays so, an admin looks whether the hub runs and whether the "
                  "gateway's own token is right. Transfers go on meanwhile.",
        retriable=True, retry_after=timedelta(seconds=5),
    )  # fmt: skip


def _busy() -> Problem:
    return Problem(
        503, "hub-busy", "Too many people sign in at this moment.", next_step="Try again in a few seconds.",
        retriable=True, retry_after=timedelta(seconds=5),
    )  # fmt: skip
