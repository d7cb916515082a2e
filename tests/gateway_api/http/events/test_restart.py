"""A gateway is killed again and again while transfers run: who comes back misses nothing and sees nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.gateway_api.conftest import TOKENS

from .conftest import STREAM, Follower, submit

KILLS = 4
FILES = 120
BEARER = {"Authorization": f"Bearer {TOKENS['root']}"}


class Kills:
    """A gateway process on one port that is killed and started anew."""

    def __init__(self, start: Callable[..., Any], folder: Path, port: int) -> None:
        self._start, self._folder, self._port = start, folder, port
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        self.running = self._stack.enter_context(
            self._start(self._folder, "[limits]\nlease_seconds = 1\nreconcile_seconds = 1\n", self._port)
        )

    def kill(self) -> None:
        self.running.process.kill()
        self.running.process.wait()

    def close(self) -> None:
        self._stack.close()


def follow_stream(url: str, seen: list[int], over: threading.Event, pause: float) -> None:
    """As a browser does: come back, with the id seen last."""
    with httpx.Client(base_url=url, headers=BEARER, timeout=20) as client:
        last = None
        while not over.is_set():
            headers = {"Last-Event-ID": last} if last else {}
            with (
                contextlib.suppress(httpx.HTTPError, StopIteration, RuntimeError),
                client.stream("GET", STREAM, params={"after": "0"}, headers=headers) as answer,
            ):
                follower = Follower(answer)
                while answer.status_code == 200 and not over.is_set():
                    message = follower.next()
                    last = follower.last
                    if message.data is not None:
                        seen.append(int(message.data["id"]))
                        time.sleep(pause)
            time.sleep(0.02)


def follow_socket(url: str, seen: list[int], over: threading.Event, _: float) -> None:
    """The same over a WebSocket."""

    async def once() -> None:
        connection = await websocket_connect(HTTPRequest(url.replace("http", "ws") + f"{STREAM}/ws", headers=BEARER))
        last = str(seen[-1]) if seen else "0"
        await connection.write_message(json.dumps({"op": "subscribe", "topic": "transfers", "after": last}))
        while not over.is_set() and (text := await asyncio.wait_for(connection.read_message(), 20)) is not None:
            message = json.loads(text)
            if message["op"] == "event":
                seen.append(int(message["event"]["id"]))
        connection.close()

    while not over.is_set():
        with contextlib.suppress(Exception):
            asyncio.run(once())
        time.sleep(0.02)


def ids(client: httpx.Client, transfer: str) -> list[int]:
    found: list[int] = []
    while True:
        page = client.get(f"/api/v1/transfers/{transfer}/events", params={"after": found[-1]} if found else {}).json()
        found += [int(event["id"]) for event in page["items"]]
        if page["next"] is None:
            return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("follow", [follow_stream, follow_socket], ids=["stream", "socket"])
def test_a_follower_sees_exactly_the_journal_through_kills(
    follow: Callable[..., None], start_gateway: Callable[..., Any], tmp_path: Path, free_port: int
) -> None:
    gateway = Kills(start_gateway, tmp_path, free_port)
    url, over = gateway.running.url, threading.Event()
    (tmp_path / "lab" / "in").mkdir()
    for number in range(FILES):
        (tmp_path / "lab" / "in" / f"f{number}").write_bytes(os.urandom(100))
    quick: list[int] = []
    slow: list[int] = []
    threads = [threading.Thread(target=follow, args=(url, seen, over, pause)) for seen, pause in
               ((quick, 0), (slow, 0.001))]  # fmt: skip
    for thread in threads:
        thread.start()
    transfers = []
    try:
        with httpx.Client(base_url=url, headers=BEARER, timeout=120) as client:
            for round_ in range(KILLS):
                transfers.append(submit(client, ("lab:/in/", f"archive:/out{round_}/")))
                time.sleep(0.4 + 0.15 * round_)
                gateway.kill()
                gateway.start()
            written = sorted(id for transfer in transfers for id in _when_done(client, transfer))
            _until(lambda: all(seen and seen[-1] == written[-1] for seen in (quick, slow)))
    finally:
        over.set()
        gateway.close()
        for thread in threads:
            thread.join(30)
        shutil.rmtree(tmp_path / "archive", ignore_errors=True)
    assert len(written) > KILLS * FILES
    assert quick == written
    assert slow == written


def _when_done(client: httpx.Client, transfer: str) -> list[int]:
    _until(lambda: client.get(f"/api/v1/transfers/{transfer}").json()["finished"] is not None)
    assert client.get(f"/api/v1/transfers/{transfer}").json()["state"] == "DONE"
    return ids(client, transfer)


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)
