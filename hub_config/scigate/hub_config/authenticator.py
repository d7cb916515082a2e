"""Sign-in with the users and passwords of a file, for demonstrations and small hubs."""

from __future__ import annotations

import asyncio
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from tornado.web import HTTPError
from traitlets import Bool, Integer, Unicode

from .accounts import Account, Accounts
from .guessing import Guessing, TooMany, seconds
from .known_browser import known_browser, remember_browser

REFUSED = (
    "There were too many wrong passwords for this user, or from your network. Try again in {} seconds, or in a browser "
    "in which you have signed in before."
)


class FileAuthenticator(Authenticator):  # type: ignore[misc]  # jupyterhub has no types
    """Knows who is in ``users_file``, and their groups; ``python -m scigate.hub_config.users`` writes it.

    Who is taken out of the file, or changes groups, or is no longer an admin, has what is new after
    ``auth_refresh_age`` seconds at most; the tokens of who is taken out are then refused as well.
    """

    users_file = Unicode("scigate-users.json", help="The file of users; nobody else may read it.").tag(config=True)

    tries_of_user = Integer(10, help="Wrong passwords for a user; then one more each 30 seconds.").tag(config=True)
    tries_of_address = Integer(50, help="Wrong passwords from an address; then one more each 3 seconds.").tag(
        config=True
    )

    manage_groups = Bool(True, help="The groups of the file are the groups of its users.").tag(config=True)
    auth_refresh_age = Integer(60, help="Seconds until a change of the file is seen.").tag(config=True)
    auth_refresh_strict = Bool(True, help="Tokens of who is not in the file are refused too.").tag(config=True)

    def check_allow_config(self) -> None:
        """Everybody in the file may sign in: no further list is needed."""

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether the user is in the file."""
        return self._accounts().find(username) is not None

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """What the hub is to know of a user with this name and password; None if they are wrong.

        Raises ``HTTPError`` 429 after too many wrong ones, and then does not look at this one.
        """
        name, password = self.normalize_username(data.get("username", "")), data.get("password", "")
        account = await self._proven(handler, name, password)
        if account is None:
            return None
        remember_browser(handler, name)
        return self._model(name, account)

    async def _proven(self, handler: Any, name: str, password: str) -> Account | None:
        """In a thread, since scrypt takes its time."""
        address = handler.request.remote_ip if handler else None
        try:
            admission = self._guessing.admit(name, address, known_browser(handler, name))
        except TooMany as refused:
            self.log.warning("no sign-in as %.40r from %s: too many wrong passwords", name, address)
            raise TooManyTries(refused.wait) from None
        account = None
        try:
            proven = self._accounts().proven
            account = await asyncio.get_running_loop().run_in_executor(admission.pool, proven, name, password)
        finally:
            self._guessing.done(admission, right=account is not None)
        return account

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> dict[str, Any] | bool:
        """What is so now; False, and the user has to sign in again, for who is no longer in the file."""
        account = self._accounts().find(user.name)
        return self._model(user.name, account) if account else False

    @cached_property
    def _guessing(self) -> Guessing:
        return Guessing(self.tries_of_user, self.tries_of_address)

    def _accounts(self) -> Accounts:
        return Accounts(Path(self.users_file))

    def _model(self, name: str, account: Account) -> dict[str, Any]:
        """``admin`` is never None, which would leave an admin what they were."""
        return {
            "name": name,
            "groups": list(account.groups),
            "admin": account.admin or name in self.admin_users,
            "user_info": {"displayName": account.display_name or name},  # since JupyterHub 6
        }


class TooManyTries(HTTPError):
    """429; the attributes are what the hub puts into its sign-in form, and among the headers of its answer."""

    def __init__(self, wait: float) -> None:
        super().__init__(429, "too many wrong passwords")
        self.jupyterhub_message = REFUSED.format(seconds(wait))
        self.headers = {"Retry-After": str(seconds(wait))}
