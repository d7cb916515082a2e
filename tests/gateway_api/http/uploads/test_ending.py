"""Uploads that are ended while they are sent, and while their bytes are moved on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from scigate.gateway_api.transfers import awaiting
from scigate.storage_backends.backend import MiB

from ..conftest import Running, finished
from .conftest import TUS, UPLOADS, Wire, append, create, data, done, gateway_with, staged, until

Connect = Callable[[], Wire]
LARGE = 70 * MiB  # three blocks
ARRIVED = 33 * MiB  # one, and some of the next


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who moves the bytes of an upload waits for more of them as long as the tests last."""
    monkeypatch.setattr(awaiting, "SILENCE", 600.0)
    monkeypatch.setattr(awaiting, "LONGEST", 600.0)
    yield


def test_a_sender_is_told_that_the_transfer_was_cancelled(gateway: Running, ada: httpx.Client, wire: Connect) -> None:
    url = create(ada, LARGE, "lab:/cancelled")
    connection = wire()
    connection.patch(url, 0, LARGE)
    connection.send(bytes(MiB))
    until(lambda: ada.get(url).json()["arrived"]["bytes"] > 0)
    upload = ada.get(url).json()
    assert ada.post(f"/api/v1/transfers/{upload['transfer']}/cancel").status_code < 300
    keep_sending(connection)
    status, headers = connection.answer()
    assert status == 410
    body = connection.socket.makefile("rb").read(int(headers["content-length"]))
    assert json.loads(body)["code"] == "upload-gone"
    until(lambda: not (gateway.service._uploads.staging.path(upload["id"])).exists())
    assert finished(ada, f"/api/v1/transfers/{upload['transfer']}")["state"] == "CANCELLED"
    assert ada.head(url, headers=TUS).status_code == 410


def keep_sending(connection: Wire) -> None:
    """A slow sender, until an answer comes: long before all has been sent."""
    connection.socket.settimeout(0.1)
    try:
        for _ in range(1200):
            try:
                connection.send(bytes(1000))
                assert connection.socket.recv(1, 2)  # MSG_PEEK: it stays there
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    finally:
        connection.socket.settimeout(60)
    raise AssertionError("nobody has told the sender")


@pytest.mark.usefixtures("patient")
def test_one_file_of_a_folder_is_ended_while_its_bytes_are_moved(gateway: Running, ada: httpx.Client) -> None:
    body = data(LARGE)
    files = {"given-up": LARGE, "kept": LARGE}
    manifest = {"destination": "lab:/ended/", "files": [{"path": path, "size": size} for path, size in files.items()]}
    told = ada.post("/api/v1/manifests", json=manifest).json()
    given_up, kept = (f"{UPLOADS}/{upload['id']}" for upload in told["uploads"])
    for url in (given_up, kept):
        assert append(ada, url, 0, body[:ARRIVED]).status_code == 204
    until(lambda: all(ada.get(url).json()["stored"]["bytes"] >= 32 * MiB for url in (given_up, kept)))
    assert ada.delete(given_up, headers=TUS).status_code == 204
    until(lambda: file_state(ada, given_up) == "CANCELLED")
    until(lambda: len(staged(gateway)) == 1)
    assert ada.get(f"/api/v1/transfers/{told['transfer']['id']}").json()["state"] not in ("CANCELLED", "FAILED")
    until(lambda: len(drafts(gateway.folder / "lab")) == 1)  # that of the other
    assert append(ada, kept, ARRIVED, body[ARRIVED:]).status_code == 204
    done(ada, kept)
    assert (gateway.folder / "lab" / "ended" / "kept").read_bytes() == body
    assert drafts(gateway.folder / "lab") == []
    assert not (gateway.folder / "lab" / "ended" / "given-up").exists()


def file_state(client: httpx.Client, url: str) -> str:
    upload = client.get(url).json()
    found = client.get(f"/api/v1/transfers/{upload['transfer']}/files").json()["items"]
    return str(next(file["state"] for file in found if file["destination"] == upload["destination"]))


def drafts(folder: Path) -> list[Path]:
    """Files that are not whole yet."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name not in ("kept", "given-up")]


def test_senders_who_together_want_more_than_there_is(tmp_path: Path) -> None:
    """Three times 10 MB where there is room for 12 MiB: none of them waits for ever."""
    body = data(10_000_000)
    with gateway_with(tmp_path, '[limits]\nstaging_quota = "12 MiB"\n') as running:
        client = running.client("ada")
        urls = {create(client, len(body), f"lab:/{number}"): 0 for number in range(3)}
        end = time.monotonic() + 240
        while urls:
            assert time.monotonic() < end, "they wait for each other"
            for url, offset in list(urls.items()):
                piece = body[offset : offset + 2_500_000]
                wire = Wire(running.service.port)
                wire.patch(url, offset, len(piece))
                wire.send(piece)
                wire.socket.settimeout(0.5)
                try:
                    wire.answer()
                except TimeoutError:  # it waits for room
                    pass
                finally:
                    wire.close()
                answer = client.head(url, headers=TUS)
                urls[url] = int(answer.headers["Upload-Offset"])
                if urls[url] == len(body):
                    done(client, url)
                    del urls[url]
    assert [(tmp_path / "lab" / str(number)).read_bytes() == body for number in range(3)] == [True] * 3
