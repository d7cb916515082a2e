"""Whole gateways: killed while they deliver, two on one database, and where secrets may not be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

from tests.gateway_api.conftest import COMMAND, TOKENS
from tests.gateway_api.events.webhooks.receiver import Receiver, Request, until

NewReceiver = Callable[..., Receiver]
V1 = "/api/v1"


def settings(folder: Path, name: str, *, port: int = 0, gateway: str = "", database: str = "") -> Path:
    """A scigate.toml: one storage, the usual users, receivers on loopback are allowed."""
    (folder / "lab").mkdir(exist_ok=True)
    users = "".join(
        f'[users.{user}]\ntoken_hash = "sha256:{sha256(token.encode()).hexdigest()}"\n'
        for user, token in TOKENS.items()
    )
    path = folder / f"{name}.toml"
    path.write_text(f"""
[gateway]
port = {port}
state_dir = {json.dumps(str(folder / name))}
{gateway}
[limits]
lease_seconds = 3
[database]
{database}
[storages.lab]
type = "posix"
root = {json.dumps(str(folder / "lab"))}
[egress]
allow = ["127.0.0.1:*"]
{users}""")
    return path


@contextmanager
def launched(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``scigate serve``, just started; it is stopped at the end if it still runs. Its log is beside its settings."""
    with config.with_suffix(".log").open("ab") as out:
        command = [sys.executable, "-c", COMMAND, "serve", "--config", str(config)]
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(240)


@contextmanager
def process(config: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """``scigate serve``, ready."""
    with launched(config) as running:
        until(lambda: running.poll() is not None or is_ready(url), "the gateway is ready", 240)
        assert running.poll() is None, config.with_suffix(".log").read_text()
        yield running


@contextmanager
def gateway(config: Path) -> Iterator[Service]:
    """A gateway in this process."""
    service = build(Settings.load(config))
    service.start()
    try:
        yield service
    finally:
        service.stop()


def is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    return False


def client_of(url: str, user: str = "ada") -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKENS[user]}"}, timeout=120)


def put(client: httpx.Client, count: int, prefix: str) -> None:
    for number in range(count):
        client.put(f"{V1}/files/lab/{prefix}-{number}", content=b"data").raise_for_status()


def journal(client: httpx.Client) -> list[int]:
    """The ids of all events of the user's transfers, once all of them have ended."""

    def ended() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = client.get(f"{V1}/transfers").json()["items"]
        return found if all(one["finished"] for one in found) else None

    events = [client.get(f"{V1}/transfers/{one['id']}/events").json()["items"] for one in until(ended)]
    return sorted(int(event["id"]) for one in events for event in one)


def test_no_event_is_lost_when_the_gateway_is_killed(tmp_path: Path, free_port: int, new_receiver: NewReceiver) -> None:
    """Its receiver kills it, before the answer and right behind it, at several events."""
    victim = [0]
    plan = {2: "before", 5: "behind", 8: "before"}

    def answer(request: Request) -> None:
        how = plan.pop(len(receiver.messages), None)
        if how == "before":
            os.kill(victim[0], signal.SIGKILL)
        request.say(200)
        if how == "behind":
            os.kill(victim[0], signal.SIGKILL)

    receiver = new_receiver(answer)
    url, config = f"http://127.0.0.1:{free_port}", settings(tmp_path, "one", port=free_port)
    with process(config, url), client_of(url) as client:
        created = client.post(f"{V1}/webhooks", json={"url": receiver.url}).json()
    receiver.stop()
    with process(config, url) as running, client_of(url) as client:
        put(client, 4, "file")
        all_ids = journal(client)
        victim[0] = running.pid
        receiver.start()
        with contextlib.suppress(httpx.TransportError):  # at once, not when the tries in vain have it; it may die of it
            client.post(f"{V1}/webhooks/{created['webhook']['id']}/enable")
        running.wait(240)
    while plan:
        with launched(config) as running:  # it delivers before it says that it is ready
            victim[0] = running.pid
            running.wait(240)
    with process(config, url), client_of(url) as client:
        until(lambda: len(receiver.ids()) >= len(all_ids))
        shown = f"{V1}/webhooks/{created['webhook']['id']}"
        until(lambda: client.get(shown).json()["delivered"] == str(all_ids[-1]))
    assert receiver.ids() == all_ids, "each of them, in order"
    assert len(receiver.messages) > len(all_ids), "what was not known to be accepted came again"
    bodies: dict[str, set[bytes]] = {}
    for message in receiver.messages:
        bodies.setdefault(message.id, set()).add(message.body)
    assert len(bodies) == len(all_ids)
    assert all(len(different) == 1 for different in bodies.values()), "the same id, the same event"
    assert all(message.is_signed(created["secret"]) for message in receiver.messages), "the key survives"


@pytest.fixture
def two_gateways(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Service]]:
    """On one PostgreSQL, with one secret key."""
    monkeypatch.setenv("TWO_DATABASE", postgresql_database)
    monkeypatch.setenv("TWO_KEY", "k" * 64)
    shared = {"database": 'url = { env = "TWO_DATABASE" }', "gateway": 'secret_key = { env = "TWO_KEY" }'}
    with gateway(settings(tmp_path, "one", **shared)) as one, gateway(settings(tmp_path, "two", **shared)) as two:
        yield one, two


def test_two_gateways_on_one_database_deliver_each_event_once(
    two_gateways: tuple[Service, Service], new_receiver: NewReceiver
) -> None:
    receivers = [new_receiver() for _ in range(6)]
    with client_of(two_gateways[0].url) as first, client_of(two_gateways[1].url) as second:
        clients = (first, second)
        created = [
            clients[number % 2].post(f"{V1}/webhooks", json={"url": receiver.url}).json()
            for number, receiver in enumerate(receivers)
        ]
        for number in range(10):
            put(clients[number % 2], 1, f"file-{number}")
        all_ids = journal(first)
        for receiver, one in zip(receivers, created, strict=True):
            until(lambda receiver=receiver: len(receiver.accepted) >= len(all_ids))
            assert [int(message.event["id"]) for message in receiver.messages] == all_ids
            assert all(message.is_signed(one["secret"]) for message in receiver.messages)


def test_a_gateway_with_another_key_delivers_no_bad_signatures(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setenv("TWO_DATABASE", postgresql_database)
    database = 'url = { env = "TWO_DATABASE" }'
    with gateway(settings(tmp_path, "one", database=database)) as one, client_of(one.url) as client:
        created = client.post(f"{V1}/webhooks", json={"url": receiver.url}).json()
        id = created["webhook"]["id"]
    with gateway(settings(tmp_path, "other", database=database)) as other, client_of(other.url) as client:
        put(client, 1, "file")
        journal(client)
        view = client.get(f"{V1}/webhooks/{id}").json()
        assert (view["state"], view["cause"]["code"]) == ("disabled", "other-key")
        assert client.post(f"{V1}/webhooks/{id}/test").json()["code"] == "other-key"
        time.sleep(1.2)
    assert receiver.messages == []
    with gateway(settings(tmp_path, "one", database=database)):
        until(lambda: receiver.accepted)
    assert all(message.is_signed(created["secret"]) for message in receiver.messages)


def test_secrets_are_shown_once_and_kept_nowhere(tmp_path: Path, free_port: int, receiver: Receiver) -> None:
    """Everything that is written and answered is searched."""
    url, config = f"http://127.0.0.1:{free_port}", settings(tmp_path, "one", port=free_port)
    answers: list[str] = []
    with process(config, url), client_of(url) as client:
        created = client.post(f"{V1}/webhooks", json={"url": receiver.url}).json()
        one = f"{V1}/webhooks/{created['webhook']['id']}"
        put(client, 2, "file")
        until(lambda: len(receiver.accepted) >= len(journal(client)))
        receiver.answer = lambda request: request.say(500)
        put(client, 1, "failing")
        until(lambda: client.get(one).json()["failures"])
        answers += [client.post(f"{one}/test").text, client.post(f"{one}/enable").text]
        answers += [client.get(f"{V1}/webhooks").text, client.get(one).text, client.get("/api/v1/openapi.json").text]
        answers += [client.post(f"{one}/replay", json={"after": "0"}).text]
        answers += [client.post(f"{V1}/webhooks", json={"url": "http://10.0.0.1/x?token=in-the-url"}).text]
    whsec, master = created["secret"], (tmp_path / "one" / "secret.key").read_text().strip()
    raw = re.sub("^whsec_", "", whsec)
    log = config.with_suffix(".log").read_text()
    assert "webhook" in log, "failures are logged"
    assert [text for text in (*answers, log) if raw in text or master in text] == []
    assert "in-the-url" not in log
    stored = b"".join(path.read_bytes() for path in (tmp_path / "one").iterdir() if path.name.startswith("scigate.db"))
    with sqlite3.connect(tmp_path / "one" / "scigate.db") as database:
        assert database.execute("SELECT count(*) FROM webhook").fetchone() == (1,)
    assert raw.encode() not in stored
    assert master.encode() not in stored


def test_a_gateway_takes_over_from_one_that_died(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch, free_port: int, new_receiver: NewReceiver
) -> None:
    """The one that is killed holds the lease: its receiver was asked and never answered it."""
    monkeypatch.setenv("TWO_DATABASE", postgresql_database)
    monkeypatch.setenv("TWO_KEY", "k" * 64)
    shared = {"database": 'url = { env = "TWO_DATABASE" }', "gateway": 'secret_key = { env = "TWO_KEY" }'}
    receiver = new_receiver()
    receiver.answer = receiver.hang
    url = f"http://127.0.0.1:{free_port}"
    with process(settings(tmp_path, "one", port=free_port, **shared), url) as running, client_of(url) as client:
        client.post(f"{V1}/webhooks", json={"url": receiver.url}).raise_for_status()
        put(client, 1, "file")
        until(lambda: receiver.messages)
        running.kill()
        running.wait(240)
    with psycopg.connect(postgresql_database.replace("+psycopg", "")) as connection:  # half a minute passes
        left = "UPDATE webhook SET lease_until = lease_until - 30 WHERE worker IS NOT NULL"
        assert connection.execute(left).rowcount == 1
    receiver.answer = lambda request: request.say(200)
    with gateway(settings(tmp_path, "two", **shared)):
        until(lambda: receiver.accepted)
    assert receiver.accepted[0].id == receiver.messages[0].id
    assert receiver.accepted[0].body == receiver.messages[0].body
