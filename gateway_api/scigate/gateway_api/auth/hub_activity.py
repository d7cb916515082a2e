"""Tells the hub who has transfers on their way, so that it does not take them for idle and stop their servers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import httpx

from ..db.database import DatabaseUnavailable
from ..settings import HubSection

log = logging.getLogger(__name__)
EVERY: Final = timedelta(seconds=60)
PATIENCE: Final = 10.0  # seconds for an answer
FAILED: Final = 20  # users in a row, after which it is the hub that fails and not they
STRANGE_FOR: Final = 600.0  # seconds until the hub is asked again for who was none of its users


class Activity:
    """A thread that reports ``owners`` again and again (JupyterHub's REST API, ``POST /users/NAME/activity``)."""

    def __init__(self, section: HubSection, owners: Callable[[], Collection[str]], every: timedelta = EVERY) -> None:
        self._url, self._owners, self._every = section.api_url.rstrip("/"), owners, every
        self._headers = {"Authorization": f"token {section.api_token.reveal()}"}
        self._strangers: dict[str, float] = {}  # who is none of the hub's users, and when that was heard
        self._asked: dict[str, float] = {}  # the owners of the last round, and when each was last asked for
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-activity", daemon=True)

    def start(self) -> None:
        """Report now, and then in turn."""
        self._thread.start()

    def stop(self) -> None:
        """End after the question that is being asked."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=PATIENCE, trust_env=False) as client:
            while not self._stopping.is_set():
                self._round(client)
                self._stopping.wait(self._every.total_seconds())

    def _round(self, client: httpx.Client) -> None:
        """Everybody's turn, however many they are. A failure is told once, until all works again."""
        failures = [*self._look(), *self._report_all(client)]
        if failures and not self._failing:
            log.warning("the hub cannot be told of all who have transfers on their way: %s", failures[0])
        self._failing = bool(failures)

    def _look(self) -> Iterator[Exception]:
        """Who has transfers on their way; while the database cannot say, those who had."""
        try:
            owners = set(self._owners())
        except DatabaseUnavailable as error:
            yield error
            return
        since = time.monotonic() - STRANGE_FOR
        self._strangers = {name: heard for name, heard in self._strangers.items() if heard > since}
        self._asked = {name: self._asked.get(name, -math.inf) for name in owners - self._strangers.keys()}

    def _report_all(self, client: httpx.Client) -> Iterator[Exception]:
        """Who has waited longest comes first, so that rounds that end early leave nobody out. What goes wrong with some
        does not end the others' reports; a hub that does not answer, or refuses all, is left alone until the next."""
        in_a_row = 0
        for name in sorted(self._asked, key=lambda name: (self._asked[name], name)):
            if self._stopping.is_set() or in_a_row == FAILED:
                return
            self._asked[name] = time.monotonic()
            try:
                self._report(client, name)
            except (httpx.HTTPStatusError, ValueError) as error:
                in_a_row += 1
                yield error
            except httpx.HTTPError as error:
                yield error
                return
            else:
                in_a_row = 0

    def _report(self, client: httpx.Client, name: str) -> None:
        """Of the user, and of every server that they have now; a user of the settings alone is none of the hub's."""
        user = f"{self._url}/users/{_segment(name)}"
        servers = _servers(client.get(user))
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        of_servers = {server: {"last_activity": now} for server in servers}
        answer = client.post(f"{user}/activity", json={"last_activity": now, "servers": of_servers})
        if answer.status_code == httpx.codes.BAD_REQUEST:  # one of them is no more, or never was: of the user at least
            answer = client.post(f"{user}/activity", json={"last_activity": now})
        if answer.status_code == httpx.codes.NOT_FOUND:
            self._strangers[name] = time.monotonic()
        else:
            answer.raise_for_status()


def _servers(found: httpx.Response) -> Collection[str]:
    """The names of the servers of a user that run; if none does, or we may not see them, the one that everybody has."""
    if found.status_code == httpx.codes.NOT_FOUND:
        return ("",)
    model = found.raise_for_status().json()
    if not isinstance(model, dict):
        raise ValueError("the hub answers with something else than a user")
    return list(model.get("servers") or ("",))


def _segment(name: str) -> str:
    """As one segment of a path; '.' and '..' would be taken for a way (RFC 3986 §5.2.4), and lead to somebody else."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
