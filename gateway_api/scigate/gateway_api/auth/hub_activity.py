"""Tells the hub who has transfers on their way, so that it does not take them for idle and stop their servers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import httpx

from ..db.database import DatabaseUnavailable
from ..settings import HubSection

log = logging.getLogger(__name__)
EVERY: Final = timedelta(seconds=60)
PATIENCE: Final = 10.0  # seconds for an answer
MOST: Final = 2000  # users in one round
STRANGE_FOR: Final = 600.0  # seconds until the hub is asked again for who was none of its users


class Activity:
    """A thread that reports ``owners`` again and again (JupyterHub's REST API, ``POST /users/NAME/activity``)."""

    def __init__(self, section: HubSection, owners: Callable[[], Collection[str]], every: timedelta = EVERY) -> None:
        self._url, self._owners, self._every = section.api_url.rstrip("/"), owners, every
        self._headers = {"Authorization": f"token {section.api_token.reveal()}"}
        self._strangers: dict[str, float] = {}  # who is none of the hub's users, and when that was heard
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
        """A failure is told once, until it works again."""
        try:
            since = time.monotonic() - STRANGE_FOR
            self._strangers = {name: heard for name, heard in self._strangers.items() if heard > since}
            for name in sorted(set(self._owners()) - self._strangers.keys())[:MOST]:
                if self._stopping.is_set():
                    return
                self._report(client, name)
        except (httpx.HTTPError, DatabaseUnavailable, ValueError) as error:
            if not self._failing:
                log.warning("the hub cannot be told who has transfers on their way: %s", error)
            self._failing = True
        else:
            self._failing = False

    def _report(self, client: httpx.Client, name: str) -> None:
        """Of the user, and of every server that they have now; a user of the settings alone is none of the hub's."""
        user = f"{self._url}/users/{_segment(name)}"
        found = client.get(user)
        known = found.status_code != httpx.codes.NOT_FOUND  # or we may not see who is there
        servers = found.raise_for_status().json().get("servers") if known else None
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        of_servers = {server: {"last_activity": now} for server in servers or ("",)}
        answer = client.post(f"{user}/activity", json={"last_activity": now, "servers": of_servers})
        if answer.status_code == httpx.codes.NOT_FOUND:
            self._strangers[name] = time.monotonic()
        else:
            answer.raise_for_status()


def _segment(name: str) -> str:
    """As one segment of a path; '.' and '..' would be taken for a way (RFC 3986 §5.2.4), and lead to somebody else."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
