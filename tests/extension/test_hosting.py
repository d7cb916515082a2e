"""Servers of one user that host a gateway in turn; and who must not get its token."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scigate.extension import hosting
from scigate.extension.announcement import LOCK, Announcement
from scigate.extension.hosting import Hosted, Place
from scigate.extension.problem import Refusal
from scigate.extension.upstream import Connections, ask_json
from scigate.gateway_api.client import NotConfigured
from scigate.gateway_api.client.access import find

from .conftest import settle

Open = Callable[[], Hosted]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def server(state: Path, tmp_path: Path, jp_asyncio_loop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each call is another server of the same user. The others get all the time that a busy machine needs."""
    monkeypatch.setattr(hosting, "PATIENCE", 240.0)
    opened: list[Hosted] = []

    def start() -> Hosted:
        opened.append(Hosted(Place(state, tmp_path, reads_settings=False)))
        return opened[-1]

    yield start
    for one in opened:
        one.stop()


@pytest.fixture
def connections(jp_asyncio_loop: Any) -> Any:
    found = Connections()
    yield found
    jp_asyncio_loop.run_until_complete(found.close())


async def test_a_gateway_that_was_started_again_elsewhere_is_found_with_its_new_token(
    server: Open, state: Path, connections: Connections
) -> None:
    settle(state)
    host, guest = server(), server()
    before = await host.upstream()
    assert await guest.upstream() == before
    await asyncio.to_thread(host.stop)
    after = await server().upstream()
    assert (after.url, after.token == before.token) == (before.url, False)
    status, _ = await ask_json(connections, guest, "GET", "/api/v1/status")
    assert status == 200


async def test_who_has_taken_the_port_meanwhile_gets_no_token(server: Open, state: Path) -> None:
    settle(state)
    first = server()
    before = await first.upstream()
    kernel = {"SCIGATE_URL": before.url, "SCIGATE_TOKEN_FILE": str(Announcement(state).token_file_of(before.url))}
    assert find(env=kernel).token.reveal() == before.token
    await asyncio.to_thread(first.stop)
    with socket.create_server(("127.0.0.1", int(before.url.rpartition(":")[2]))):
        after = await server().upstream()
        assert after.url != before.url
        with pytest.raises(NotConfigured, match="token file"):
            find(env=kernel)


async def test_a_gateway_on_another_machine_is_said_and_not_looked_for_here(
    server: Open, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "PATIENCE", 0.0)
    await server().upstream()
    file = state / "jupyter-gateway.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "node7"}))
    with pytest.raises(Refusal, match="node7"):
        await server().upstream()


async def test_servers_that_start_at_once_share_one_gateway(server: Open) -> None:
    found = await asyncio.gather(*(server().upstream() for _ in range(3)))
    assert len({one.url for one in found}) == 1
    assert len({one.token for one in found}) == 1


@pytest.fixture
def locked(state: Path) -> Iterator[int]:
    """Another gateway has the folder; the lock, to be closed."""
    state.mkdir()
    lock = os.open(state / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield lock


async def test_what_speaks_no_http_where_a_gateway_was_is_none(server: Open, state: Path, locked: int) -> None:
    """One that was killed withdraws nothing, and its port may be a kernel's when the next one is about to start."""

    def greet(kernel: socket.socket) -> None:
        with kernel.accept()[0] as one:
            one.sendall(b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\n\n")
        os.close(locked)

    with socket.create_server(("127.0.0.1", 0)) as kernel:
        Announcement(state).publish(f"http://127.0.0.1:{kernel.getsockname()[1]}", "t" * 43)
        threading.Thread(target=greet, args=[kernel]).start()
        found = await server().upstream()
    assert found.token != "t" * 43


async def test_a_server_that_is_stopped_looks_for_no_gateway_any_more(server: Open, state: Path, locked: int) -> None:
    one = server()
    looking = asyncio.create_task(one.upstream())
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    await asyncio.to_thread(one.stop)
    assert time.monotonic() - begun < hosting.PATIENCE / 2
    with pytest.raises(Refusal, match="being stopped"):
        await looking
    os.close(locked)
    with pytest.raises(Refusal, match="being stopped"):
        await one.upstream()
    assert not Announcement(state).is_locked()


async def test_a_gateway_that_cannot_be_announced_leaves_the_folder_to_the_next_try(
    server: Open, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "FAILED_FOR", 0.0)
    state.mkdir(0o700)
    (state / "jupyter-gateway.json").mkdir()
    with pytest.raises(Refusal, match=r"jupyter-gateway\.json"):
        await server().upstream()
    (state / "jupyter-gateway.json").rmdir()
    assert (await server().upstream()).token


@pytest.fixture
def collector() -> Iterator[tuple[str, list[str]]]:
    """A web server, and the tokens that it was shown."""
    shown: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            shown.append(self.headers.get("Authorization", ""))
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815 the standard library calls it so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", shown
        server.shutdown()


@pytest.mark.parametrize("named", [True, False])
async def test_settings_beside_which_it_was_only_started_get_no_secret(
    named: bool, tmp_path: Path, environment: pytest.MonkeyPatch, collector: tuple[str, list[str]]
) -> None:
    """Jupyter is started in folders that others have made: a cloned repository may bring a scigate.toml."""
    url, shown = collector
    (tmp_path / "scigate.toml").write_text(
        f'[storages.theirs]\ntype = "http"\nurl = "{url}"\ntoken = {{ env = "MINE" }}\n'
    )
    environment.chdir(tmp_path)
    environment.setenv("HOME", str(tmp_path))
    environment.setenv("MINE", "a-secret-of-mine")
    if named:
        environment.setenv("SCIGATE_CONFIG", str(tmp_path / "scigate.toml"))
    hosted = Hosted(Place(tmp_path / "state", None))
    try:
        if not named:
            with pytest.raises(Refusal, match=r"storages\.theirs"):
                await hosted.upstream()
            assert shown == []
            return
        await hosted.upstream()
        for _ in range(600):
            if shown:
                break
            await asyncio.sleep(0.1)
        assert "Bearer a-secret-of-mine" in shown
    finally:
        await asyncio.to_thread(hosted.stop)


async def test_settings_without_secrets_are_read_where_it_was_started(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scigate.toml").write_text(f'[storages.lab]\ntype = "posix"\nroot = "{tmp_path}"\n')
    environment.chdir(tmp_path)
    assert list(hosting.settings(Place(tmp_path / "state", None), 0, "t" * 32).storages) == ["lab"]
