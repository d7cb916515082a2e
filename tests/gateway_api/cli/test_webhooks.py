"""Webhooks on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_api.events.webhooks.receiver import Message, Receiver, until

Scigate = Callable[..., Any]


@pytest.fixture
def receiver(gateway_process: Any) -> Iterator[Receiver]:
    """At the port that the gateway may send to."""
    receiver = Receiver(port=gateway_process.web_port)
    yield receiver
    receiver.stop()


def of_type(receiver: Receiver, kind: str) -> list[Message]:
    """Other tests' transfers at this gateway may still have events, too."""
    return [message for message in list(receiver.accepted) if message.event["type"] == kind]


def test_from_add_to_remove(scigate: Scigate, receiver: Receiver, tmp_path: Path) -> None:
    made = scigate("webhooks", "add", receiver.url, "--type", "scigate.transfer.*")
    assert (made.code, made.out.startswith("whsec_")) == (0, True)
    (webhook,) = scigate("webhooks", "--json").lines
    id = webhook["id"]
    assert webhook["types"] == ["scigate.transfer.*"]
    assert made.out.strip() not in scigate("webhooks", "--json").out
    assert scigate("webhooks", "test", id).code == 0
    (tried,) = of_type(receiver, "scigate.webhook.test")
    assert tried.is_signed(made.out.strip())
    (tmp_path / "file").write_bytes(b"data")
    assert scigate("cp", tmp_path / "file", "mem:/cli-webhooks").code == 0
    until(lambda: of_type(receiver, "scigate.transfer.done"))
    receiver.answer = lambda request: request.say(500)
    refused = scigate("webhooks", "test", id)
    assert refused.code == 1
    assert "status 500" in refused.err
    receiver.answer = lambda request: request.say(200)
    before = len(receiver.accepted)
    assert f"behind {webhook['delivered']}" in scigate("webhooks", "replay", id, "--after", webhook["delivered"]).err
    until(lambda: len(receiver.accepted) > before)
    assert "active" in scigate("webhooks", "enable", id).err
    assert id in scigate("webhooks").out
    assert scigate("webhooks", "remove", id).code == 0
    assert "no webhook" in scigate("webhooks").err


def test_what_cannot_be(scigate: Scigate) -> None:
    refused = scigate("webhooks", "add", "http://169.254.169.254/")
    assert refused.code != 0
    assert "metadata" in refused.err
    assert "→" in refused.err
    assert "no webhook" in scigate("webhooks", "remove", "0" * 32).err
    wrong = scigate("webhooks", "replay", "0" * 32, "--after", "abc")
    assert (wrong.code, wrong.err.count("not allowed here")) == (7, 1)
    assert "not the id of a webhook" in scigate("webhooks", "test", "../transfers").err
