"""Sign-in with the users and passwords of a file, for demonstrations and small hubs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Bool, Integer, Unicode

from .accounts import Account, Accounts


class FileAuthenticator(Authenticator):  # type: ignore[misc]  # jupyterhub has no types
    """Knows who is in ``users_file``, and their groups; ``python -m scigate.hub_config.users`` writes it.

    Who is taken out of the file, or changes groups, or is no longer an admin, has what is new after
    ``auth_refresh_age`` seconds at most; the tokens of who is taken out are then refused as well.
    """

    users_file = Unicode("scigate-users.json", help="The file of users; nobody else may read it.").tag(config=True)

    manage_groups = Bool(True, help="The groups of the file are the groups of its users.").tag(config=True)
    auth_refresh_age = Integer(60, help="Seconds until a change of the file is seen.").tag(config=True)
    auth_refresh_strict = Bool(True, help="Tokens of who is not in the file are refused too.").tag(config=True)

    def check_allow_config(self) -> None:
        """Everybody in the file may sign in: no further list is needed."""

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether the user is in the file."""
        return self._accounts().find(username) is not None

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """What the hub is to know of a user with this name and password; None if they are wrong."""
        name, password = self.normalize_username(data["username"]), data["password"]
        account = await asyncio.to_thread(self._accounts().proven, name, password)  # scrypt takes its time
        return self._model(name, account) if account else None

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> dict[str, Any] | bool:
        """What is so now; False, and the user has to sign in again, for who is no longer in the file."""
        account = self._accounts().find(user.name)
        return self._model(user.name, account) if account else False

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
