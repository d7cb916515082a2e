"""Uploads whose connections are cut in every way: what came is kept, and the next request goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from scigate.gateway_api.http import receiving, server
from scigate.gateway_api.http.uploads import handler
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import build

from ..conftest import Running, problem, write_settings
from .conftest import TUS, Wire, append, create, data, done, gateway_with, offset, until

DATA = data(6_000_000)
Connect = Callable[[], Wire]


def begun(wire: Wire, url: str, count: int = 5_000_000, *, size: int | None = len(DATA), start: int = 0) -> None:
    """Announce the rest, and send ``count`` bytes of it."""
    wire.patch(url, start, None if size is None else size - start)
    piece = DATA[start : start + count]
    wire.send(piece if size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))


def arrived(client: httpx.Client, url: str) -> int:
    """What is shown to people: looking does not disturb."""
    return int(client.get(url).json()["arrived"]["bytes"])


@pytest.mark.parametrize("cut", ["close", "reset"])
@pytest.mark.parametrize("size", [len(DATA), None], ids=["announced", "chunked"])
def test_a_cut_connection_keeps_what_came(
    gateway: Running, ada: httpx.Client, wire: Connect, cut: str, size: int | None
) -> None:
    url = create(ada, len(DATA), f"lab:/{cut}-{size}")
    connection = wire()
    begun(connection, url, size=size)
    if cut == "reset":  # what is still in the buffers of the kernel goes with it
        until(lambda: arrived(ada, url) > 0)
    getattr(connection, cut)()
    # Of a chunked body tornado gives up what it has not handed on, less than 1 MiB, when the end comes.
    least = 1 if cut == "reset" else 5_000_000 if size is not None else 5_000_001 - (1 << 20)
    until(lambda: arrived(ada, url) >= least)  # asking for the offset would end the connection before it is read
    there = offset(ada, url)
    assert there <= 5_000_000
    assert append(ada, url, there, DATA[there:]).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / f"{cut}-{size}").read_bytes() == DATA


def test_a_cut_while_a_piece_waits_for_its_turn_leaves_no_gap(
    gateway: Running, ada: httpx.Client, wire: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One piece is on its way to the disk, and the next one is here already: they are kept in that order."""
    monkeypatch.setattr(handler, "PATIENCE", timedelta(minutes=10))
    has_room, receive, came = handler.Writer.has_room, handler.WriterHandler.data_received, [0]

    def only_behind_the_scenes(writer: handler.Writer, count: int) -> bool:
        return threading.current_thread().name.startswith("api-body") and has_room(writer, count)

    async def count(taking: handler.WriterHandler, chunk: bytes) -> None:
        await receive(taking, chunk)
        came[0] += len(chunk)

    monkeypatch.setattr(handler.Writer, "has_room", only_behind_the_scenes)
    monkeypatch.setattr(handler.WriterHandler, "data_received", count)
    url = create(ada, len(DATA), "lab:/gap")
    connection = wire()
    begun(connection, url)
    until(lambda: came[0] == 5_000_000)
    connection.close()
    until(lambda: arrived(ada, url) > 0)
    monkeypatch.undo()
    assert (there := offset(ada, url)) == 5_000_000
    assert append(ada, url, there, DATA[there:]).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / "gap").read_bytes() == DATA


def test_a_black_hole_is_taken_over(gateway: Running, ada: httpx.Client, wire: Connect) -> None:
    """The old connection stays open and says nothing: whoever asks for the offset ends it."""
    url = create(ada, len(DATA), "lab:/hole")
    hole = wire()
    begun(hole, url)
    until(lambda: arrived(ada, url) >= 4 << 20)
    there = offset(ada, url)
    assert 4 << 20 <= there <= 5_000_000
    assert hole.is_closed()
    assert append(ada, url, there, DATA[there:]).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / "hole").read_bytes() == DATA


def test_a_newer_request_takes_over_without_asking(gateway: Running, ada: httpx.Client, wire: Connect) -> None:
    url = create(ada, len(DATA), "lab:/two")
    old = wire()
    begun(old, url, 100)
    until(lambda: url.rpartition("/")[2] in gateway.service.gateway.uploads._turns.busy())
    new = wire()
    new.patch(url, 0, 100)
    new.send(DATA[:100])
    status, headers = new.answer()
    assert (status in (204, 409), headers["upload-offset"]) == (True, "100")
    assert old.is_closed()
    assert append(ada, url, 100, DATA[100:]).status_code == 204
    done(ada, url)
    assert (gateway.folder / "lab" / "two").read_bytes() == DATA


def test_many_writers_at_once_never_mix(gateway: Running, ada: httpx.Client) -> None:
    """Each tries to send all of it, again and again; whatever wins, the file is right."""
    url = create(ada, len(DATA), "lab:/many")

    end = time.monotonic() + 120

    def send() -> None:
        with gateway.client("ada") as client:
            while time.monotonic() < end:
                try:
                    there = offset(client, url)
                    if there == len(DATA) or append(client, url, there, DATA[there:]).status_code == 204:
                        return
                except httpx.TransportError:
                    time.sleep(0.01)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done(ada, url)
    assert (gateway.folder / "lab" / "many").read_bytes() == DATA


def test_a_stalled_body_is_cut_off_and_kept(
    gateway: Running, ada: httpx.Client, wire: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(ada, len(DATA), "lab:/stalled")
    sleeper = wire()
    begun(sleeper, url, 1000)
    until(lambda: arrived(ada, url) == 1000)
    monkeypatch.setattr(receiving, "STALLED", timedelta(seconds=0.5))  # only now: its bytes may have been held up
    assert sleeper.is_closed()
    assert offset(ada, url) == 1000
    ada.delete(url, headers=TUS)


def test_a_checksum_promised_for_a_body_that_breaks_off(ada: httpx.Client, wire: Connect) -> None:
    """What cannot be compared is not kept."""
    url = create(ada, len(DATA), "lab:/promised")
    connection = wire()
    connection.patch(url, 0, len(DATA), Upload_Checksum="crc32 AAAAAA==")
    connection.send(DATA[:5_000_000])
    until(lambda: arrived(ada, url) >= 0)
    connection.close()
    assert offset(ada, url) == 0
    ada.delete(url, headers=TUS)


def test_a_restart_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRAIN", 0.5)
    settings = Settings.load(write_settings(tmp_path))
    service = build(settings)
    service.start()
    running = Running(service, tmp_path)
    with running.client("ada") as client:
        url = create(client, len(DATA), "lab:/restarted")
        assert append(client, url, 0, DATA[:1_000_000]).status_code == 204
        connection = Wire(service.port)
        begun(connection, url, 4_500_000, start=1_000_000)
        until(lambda: arrived(client, url) > 1_000_000)
    service.stop()
    assert connection.is_closed()
    service = build(settings)
    service.start()
    try:
        with Running(service, tmp_path).client("ada") as client:
            there = offset(client, url)
            assert 1_000_000 < there <= 5_500_000
            assert append(client, url, there, DATA[there:]).status_code == 204
            done(client, url)
    finally:
        service.stop()
    assert (tmp_path / "lab" / "restarted").read_bytes() == DATA


def test_a_full_disk_quota_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-pressure first; then 503, and what came is kept."""
    monkeypatch.setattr(handler, "PATIENCE", timedelta(seconds=0.5))
    with gateway_with(tmp_path, '[limits]\nstaging_quota = "1 MiB"\n') as running:
        client = running.client("ada")
        blocker = create(client, 900_000, None, Upload_Concat="partial")
        assert append(client, blocker, 0, DATA[:900_000]).status_code == 204
        url = create(client, 400_000, "lab:/waits")
        answer = append(client, url, 0, DATA[:400_000])
        assert problem(answer, 503, "staging-full")["retriable"]
        assert int(answer.headers["Retry-After"]) > 0
        there = offset(client, url)
        assert answer.headers["Upload-Offset"] == str(there)
        assert client.delete(blocker, headers=TUS).status_code == 204
        assert append(client, url, there, DATA[there:400_000]).status_code == 204
        done(client, url)
    assert (tmp_path / "lab" / "waits").read_bytes() == DATA[:400_000]
