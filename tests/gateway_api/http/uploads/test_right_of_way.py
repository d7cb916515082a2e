"""Whether a sender is held up by us is seen from what waits in its socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import httpx
import pytest
from scigate.gateway_api.http import receiving
from scigate.gateway_api.http.uploads import handler
from scigate.gateway_api.uploads.growing import GrowingFile
from scigate.gateway_api.uploads.writer import Writer

from ..conftest import Running
from .conftest import Wire, create, data, done, until

Connect = Callable[[], Wire]
Looks = list[bool]
QUICK = timedelta(milliseconds=50)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """What writers are told."""
    told: Looks = []
    looked = Writer.looked

    def recorded(writer: Writer, held_up: bool) -> None:
        told.append(held_up)
        looked(writer, held_up)

    monkeypatch.setattr(Writer, "looked", recorded)
    monkeypatch.setattr(receiving, "TICK", QUICK)
    return told


def test_who_waits_for_our_disk_presses(
    gateway: Running, ada: httpx.Client, wire: Connect, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "AHEAD", 64 << 10)  # so much is in every socket's buffers, whatever its machine allows
    free, append = threading.Event(), GrowingFile.append

    def stuck(file: GrowingFile, buffers: Sequence[bytes]) -> None:
        assert free.wait(240)
        append(file, buffers)

    monkeypatch.setattr(GrowingFile, "append", stuck)
    body = data(64 << 20)
    url = create(ada, len(body), "lab:/pressed")
    connection = wire()
    connection.socket.settimeout(240)  # for all of it
    connection.patch(url, 0, len(body))
    sending = threading.Thread(target=connection.send, args=(body,))
    sending.start()
    until(lambda: looks[-5:] == [True] * 5)
    free.set()
    sending.join()
    assert connection.answer()[0] == 204
    done(ada, url)
    assert (gateway.folder / "lab" / "pressed").read_bytes() == body


def test_who_waits_for_the_network_does_not(ada: httpx.Client, wire: Connect, looks: Looks) -> None:
    body = data(9 << 20)
    url = create(ada, len(body), "lab:/slow")
    connection = wire()
    connection.patch(url, 0, len(body))
    for first in range(0, len(body), 1 << 20):
        connection.send(body[first : first + (1 << 20)])
        until(lambda first=first: ada.get(url).json()["arrived"]["bytes"] == first + (1 << 20))
    assert connection.answer()[0] == 204
    assert len(looks) >= 9
    *coming, answered = looks
    assert not any(coming)
    assert answered, "whoever waits until its bytes are durable waits for us"
    done(ada, url)
