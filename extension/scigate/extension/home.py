"""The files of this server beside the hub's gateway: as a storage of a small gateway in this process, and as ends of
transfers that this process carries out."""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from scigate.gateway_api.client import Gateway

from .home_jobs import Jobs
from .home_records import Records
from .home_routes import STORAGE, Whose, whose
from .hosting import Hosted, Place
from .problem import Refusal
from .upstream import Connections, Door, Upstream, ask_json

KNOWN: Final = 10_000  # ids of which it is remembered whose they are


class Home:
    """``service`` is the hub's gateway, ``door`` the small one of the files below ``root``, with or without
    the ``hidden`` ones."""

    def __init__(
        self, connections: Connections, service: Door, upstream: Upstream, root: Path, state: Path, *, hidden: bool
    ) -> None:
        folder = state / f"home-{_server_name()}"
        self._connections, self.service = connections, service
        self.root, self.hidden, self._folder = root, hidden, folder
        self.door = Hosted(Place(folder, root, reads_settings=False, hidden=hidden))
        self.jobs = Jobs(Records(folder / "jobs"), root, lambda: Gateway(upstream.url, upstream.token), hidden=hidden)
        self._whose: OrderedDict[str, Whose] = OrderedDict()

    def resume(self) -> bool:
        """Go on with what the last server left; whether there is something for the small gateway to do."""
        self.jobs.resume()
        return (self._folder / "scigate.db").exists()

    async def door_for(self, method: str, target: str, headers: Mapping[str, str]) -> Door:
        """Which gateway a request is for."""
        found = whose(method, target, headers)
        if found is Whose.ASK:
            found = await self._owner(target)
        return self.door if found is Whose.HOME else self.service

    async def storage(self) -> dict[str, Any]:
        """The storage ``home`` for a list of storages; why it cannot be used, if so."""
        try:
            status, answer = await ask_json(self._connections, self.door, "GET", f"/api/v1/storages/{STORAGE}")
        except Refusal as refusal:
            return _down(refusal)
        if status != 200 or not isinstance(answer, dict):
            return _down(_odd(status))
        return answer | {"nearest": False}  # of all storages that is one of the service

    def is_moving(self) -> bool:
        """Whether something is on its way that the end of this server would hold up."""
        return self.jobs.are_moving() or self.door.is_moving()

    def stop(self) -> None:
        self.jobs.stop()
        self.door.stop()

    async def _owner(self, target: str) -> Whose:
        """Whose id this is: asked once, and only if the small gateway has ever been used."""
        found = re.match(r"/api/v1/(transfers|uploads)/([^/?]+)", target)
        if found is None or not await asyncio.to_thread((self._folder / "scigate.db").exists):
            return Whose.SERVICE
        if found[0] not in self._whose:
            status, _ = await ask_json(self._connections, self.door, "GET", found[0])
            if status >= 500 or status == 429:
                raise _odd(status)
            self._whose[found[0]] = Whose.HOME if status == 200 else Whose.SERVICE
            if len(self._whose) > KNOWN:
                self._whose.popitem(last=False)
        return self._whose[found[0]]


def _server_name() -> str:
    """Each named server of a user has its own, as two may run at once, on machines that share the home folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", os.environ.get("JUPYTERHUB_SERVER_NAME", "")) or "default"


def _odd(status: int) -> Refusal:
    title = f"The gateway of this server's files answers with status {status}."
    return Refusal(503, "home-failed", title, next_step="Restart the Jupyter Server.", retriable=True)


def _down(refusal: Refusal) -> dict[str, Any]:
    """A storage that cannot be used now, with the reason."""
    from scigate.gateway_api.client import Storage

    cause = {"code": refusal.code, "message": str(refusal), "retriable": refusal.retriable,
             "next_step": refusal.next_step}  # fmt: skip
    known = {
        "name": STORAGE, "type": "posix", "summary": "The files of this Jupyter Server", "read_only": False,
        "state": "down", "cause": cause, "can": [], "communities": [], "largest_upload": 0,
    }  # fmt: skip
    return dict.fromkeys(Storage.model_fields) | known
