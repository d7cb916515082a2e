"""However many have transfers on their way, and whatever goes wrong with some, nobody is left out."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from scigate.gateway_api.auth import hub_activity as module
from scigate.gateway_api.auth.hub_activity import Activity
from scigate.gateway_api.db.database import DatabaseUnavailable
from scigate.gateway_api.settings import HubSection
from scigate.storage_backends.credential import Secret

from .hub_process import wait_until
from .test_hub_activity import reporting

SOON = timedelta(seconds=0.1)


class CountingHub:
    """Answers as a hub does, at the speed of a socket, and counts for whom it was told of activity."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.without_servers: set[str] = set()
        self.answer: Callable[[str], int] = lambda name: 200
        hub = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while head := self.rfile.readline():
                    self._answer(head.decode())

            def _answer(self, head: str) -> None:
                length = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                method, path, _ = head.split(" ")
                name = re.sub(r".*/users/([^/]+).*", r"\1", path)
                said = json.loads(self.rfile.read(length) or "{}")
                strange = name in hub.without_servers and said.get("servers")
                status = 400 if strange else hub.answer(name)
                with hub._lock:
                    hub.told[name] += method == "POST" and status == 200
                body = json.dumps({"servers": {}}).encode()
                self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Connection)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reached(self) -> int:
        """Of how many it was told."""
        with self._lock:
            return len(+self.told)

    def activity(self, owners: Callable[[], set[str]], every: timedelta = SOON) -> Activity:
        url = f"http://127.0.0.1:{self.server.server_address[1]}/hub/api"
        return Activity(HubSection(api_url=url, api_token=Secret("t" * 32)), owners, every)


@pytest.fixture
def hub() -> Iterator[CountingHub]:
    made = CountingHub()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_every_one_of_thousands_is_told(hub: CountingHub) -> None:
    everybody = {f"user-{number}" for number in range(2100)}
    with reporting(hub.activity(lambda: everybody)):
        wait_until(lambda: hub.reached() == len(everybody))


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_whom_the_hub_refuses_does_not_end_the_reports_of_others(hub: CountingHub, status: int) -> None:
    hub.answer = lambda name: status if name == "ada" else 200
    with reporting(hub.activity(lambda: {"ada", "bo", "carol"})):
        wait_until(lambda: hub.told["bo"] > 1 and hub.told["carol"] > 1)


def test_of_whom_the_hub_knows_no_server_it_is_told_nevertheless(hub: CountingHub) -> None:
    hub.without_servers = {"ada"}
    with reporting(hub.activity(lambda: {"ada", "bo"})):
        wait_until(lambda: hub.told["ada"] > 1 and hub.told["bo"] > 1)


def test_a_hub_that_refuses_all_is_not_asked_for_all_and_nobody_comes_last_for_ever(hub: CountingHub) -> None:
    asked: list[str] = []

    def refuse(name: str) -> int:
        asked.append(name)
        return 403

    hub.answer = refuse
    everybody = {f"user-{number:03}" for number in range(module.FAILED * 3)}
    with reporting(hub.activity(lambda: everybody)):
        wait_until(lambda: len(asked) > module.FAILED)
        assert len(set(asked[: module.FAILED])) == module.FAILED
        hub.answer = lambda name: 200 if name >= f"user-{module.FAILED:03}" else 500
        wait_until(lambda: hub.reached() == module.FAILED * 2)


def test_who_was_on_their_way_is_told_while_the_database_cannot_say(hub: CountingHub) -> None:
    def owners() -> set[str]:
        if hub.told["ada"]:
            raise DatabaseUnavailable("gone")
        return {"ada"}

    with reporting(hub.activity(owners)):
        wait_until(lambda: hub.told["ada"] > 3)
