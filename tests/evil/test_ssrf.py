"""Addresses that nobody may reach through the gateway: as sources, as webhooks, and where a server redirects to.

The parser and the table are tried with names, DNS answers and spellings in ``tests/gateway_api/transfers``; here the
same addresses go through a running gateway, which resolves for itself. Nothing but loopback is ever connected to.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.evidence import record
from tests.gateway_api.transfers.test_egress import VECTORS
from tests.processes import free_port

from .conftest import Starter
from .gateway import Evil

V1 = "/api/v1"
_NAMED = re.compile(r"example|internal|instance-data|\.org|93\.184|2606:2800", re.IGNORECASE)
LOCAL = sorted(vector for vector in set(VECTORS) if not _NAMED.search(vector))
"""Those that need no name server."""


class Canary:
    """A server that counts who connects, and answers ``/to?…`` with a redirect."""

    def __init__(self, port: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", port))
        self.port, self.hits, self.targets = port, 0, []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.hits += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            target = connection.recv(65536).split(b" ")[1]
            location = bytes.fromhex(target.partition(b"?")[2].decode()) if b"?" in target else b"/to?"
            connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
                               + location.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n")  # fmt: skip

    def close(self) -> None:
        self.listening.close()


@pytest.fixture(scope="module")
def redirector() -> Iterator[Canary]:
    made = Canary(free_port())
    yield made
    made.close()


@pytest.fixture(scope="module")
def inside() -> Iterator[Canary]:
    """Who nobody has allowed: on a port that is."""
    made = Canary(free_port())
    yield made
    made.close()


@pytest.fixture(scope="module")
def evil(start_evil: Starter, redirector: Canary, inside: Canary) -> Iterator[Evil]:
    ports = f"ports = [80, 443, {inside.port}]"
    changes = [('allow = ["127.0.0.1:9"] # where nobody listens', f'allow = ["127.0.0.1:{redirector.port}"]\n{ports}')]
    with start_evil(changes=changes) as made:
        yield made


def test_there_are_enough() -> None:
    assert len(set(VECTORS)) >= 300
    assert len(LOCAL) >= 150


def test_no_address_is_accepted(evil: Evil, inside: Canary) -> None:
    """As a source, of one file and among good ones, and as a webhook."""
    begun, wire, bad = time.monotonic(), evil.wire(), []
    for vector in LOCAL:
        url = vector.replace("{port}", str(inside.port))
        source = wire.ask("POST", f"{V1}/transfers", {"files": [{"source": url, "destination": "mem:/in"}]})
        hook = wire.ask("POST", f"{V1}/webhooks", {"url": url})
        bad += [f"{url!r}: {one.status} {one.body[:200]!r}" for one in (source, hook) if one.status != 422]
        bad += [f"{url!r}: {one.fault()}" for one in (source, hook) if one.fault()]
    record("evil.ssrf", runs=2 * len(LOCAL), bad=len(bad) + inside.hits, seconds=time.monotonic() - begun, kind="urls")
    assert bad == []
    assert inside.hits == 0


def test_no_redirect_leads_there(evil: Evil, redirector: Canary, inside: Canary) -> None:
    begun, wire = time.monotonic(), evil.wire()
    urls = [vector.replace("{port}", str(inside.port)) for vector in LOCAL]
    leads = [f"http://127.0.0.1:{redirector.port}/to?{url.encode('utf-8', 'replace').hex()}" for url in urls
             if len(url) < 2000]  # fmt: skip
    body = {"files": [{"source": lead, "destination": f"mem:/r{n}"} for n, lead in enumerate(leads)]}
    reply = wire.ask("POST", f"{V1}/transfers", body)
    assert reply.status == 202, reply.body
    where = reply.header("Location")
    end = time.monotonic() + 120
    while time.monotonic() < end:
        counts = wire.ask("GET", where).json["files"]
        tried = counts["failed"] + counts["waiting"] + counts["done"]
        if tried == len(leads):
            break
        time.sleep(0.1)
    wire.ask("POST", f"{where}/cancel")
    record("evil.ssrf", runs=len(leads), bad=inside.hits + counts["done"], seconds=time.monotonic() - begun,
           kind="redirects")  # fmt: skip
    assert tried == len(leads)
    assert (counts["done"], inside.hits) == (0, 0)
    assert redirector.hits >= len(leads)


def test_the_canary_would_be_reached(inside: Canary) -> None:
    before = inside.hits
    with socket.create_connection(("127.0.0.1", inside.port), 120) as connection:
        connection.sendall(b"GET /" + quote("x").encode() + b" HTTP/1.1\r\n\r\n")
        connection.recv(100)
    assert inside.hits == before + 1
    inside.hits = before
