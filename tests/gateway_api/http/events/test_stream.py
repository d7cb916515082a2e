"""Server-sent events on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.gateway_api.http import server
from scigate.gateway_api.http.events import fanout as module
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

from tests.gateway_api.http.conftest import TOKENS, Running, problem, write_settings

from .conftest import STREAM, done, following, journal, submit


@pytest.fixture
def copied(gateway: Running, ada: httpx.Client) -> str:
    """A finished transfer of ada's."""
    (gateway.folder / "lab" / "one").write_bytes(b"1" * 10)
    id = submit(ada, ("lab:/one", "mem:/one"))
    with following(ada, topics=f"transfer:{id}", after="0") as follower:
        follower.events(done(id))
    return id


def test_a_stream_is_what_the_journal_says(gateway: Running, ada: httpx.Client) -> None:
    (gateway.folder / "lab" / "live").write_bytes(b"1" * 10)
    with following(ada) as follower:
        id = submit(ada, ("lab:/live", "mem:/live"))
        seen = follower.events(done(id))
    assert seen == journal(ada, id)
    assert seen[0]["type"] == "scigate.transfer.submitted"
    (stored,) = [event for event in seen if event["data"].get("to") == "DONE"]
    assert stored["subject"].startswith(f"{id}.")
    assert stored["data"]["destination"] == "mem:/live"
    assert (stored["data"]["size"], stored["data"]["proof"]) == (10, "A")
    assert seen[-1]["data"]["files"] == {"done": 1, "skipped": 0, "failed": 0, "cancelled": 0}


def test_headers_say_a_stream_that_nobody_keeps_back(gateway: Running, ada: httpx.Client) -> None:
    with ada.stream("GET", STREAM) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
    assert ada.head(STREAM).headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("way", ["header", "query", "both"])
def test_it_goes_on_behind_the_last_event(ada: httpx.Client, copied: str, way: str) -> None:
    whole = journal(ada, copied)
    third = whole[2]["id"]
    given: dict[str, Any] = {"header": {"last": third}, "query": {"after": third}}.get(way, {"last": third, "after": 0})
    with following(ada, topics=f"transfer:{copied}", **given) as follower:
        assert follower.events(done(copied)) == whole[3:]


def test_without_an_id_it_begins_now_and_says_where(ada: httpx.Client, copied: str) -> None:
    newest = journal(ada, copied)[-1]["id"]
    with following(ada) as follower:
        assert int(follower.last or 0) >= int(newest)
        with following(ada, last=follower.last, topics=f"transfer:{copied}") as again:
            assert again.last == follower.last


def test_only_the_types_that_are_wanted(ada: httpx.Client, copied: str) -> None:
    types = "scigate.transfer.*,scigate.file.claim"
    with following(ada, topics=f"transfer:{copied}", types=types, after="0") as follower:
        seen = [event["type"] for event in follower.events(done(copied))]
    assert seen == ["scigate.transfer.submitted", "scigate.file.claim", "scigate.transfer.done"]


def test_several_topics_on_one_stream(gateway: Running, ada: httpx.Client, copied: str) -> None:
    (gateway.folder / "lab" / "two").write_bytes(b"2")
    second = submit(ada, ("lab:/two", "mem:/two"))
    with following(ada, topics=f"transfer:{second},transfer:{copied}", after="0") as follower:
        seen = follower.events(done(second))
    assert [event["data"]["transfer"] for event in seen].count(copied) == len(journal(ada, copied))
    assert [int(event["id"]) for event in seen] == sorted(int(event["id"]) for event in seen)


def test_everybody_sees_their_own_and_an_admin_everything(gateway: Running, copied: str) -> None:
    bo, root = gateway.client("bo"), gateway.client("root")
    (gateway.folder / "lab" / "bos").write_bytes(b"b")
    id = submit(bo, ("lab:/bos", "mem:/bos"))
    with following(bo, after="0") as follower:
        assert {event["data"]["owner"] for event in follower.events(done(id))} == {"bo"}
    with following(root, after="0") as follower:
        assert {event["data"]["owner"] for event in follower.events(done(id))} == {"ada", "bo"}
    problem(bo.get(STREAM, params={"topics": f"transfer:{copied}"}), 404, "not-found")
    problem(bo.get(STREAM, params={"topics": f"transfer:{id},transfer:{'0' * 32}"}), 404, "not-found")


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"topics": ""}, 422, "invalid-topic"),
        ({"topics": "files"}, 422, "invalid-topic"),
        ({"topics": ",".join(["transfer:" + "0" * 32] * 101)}, 422, "invalid-topic"),
        ({"types": "done"}, 422, "invalid-type"),
        ({"types": ","}, 422, "invalid-type"),
        ({"after": "x"}, 422, "invalid-cursor"),
        ({"after": "-1"}, 422, "invalid-cursor"),
        ({"after": "9" * 18}, 422, "invalid-cursor"),
        ({"after": "9" * 30}, 422, "invalid-cursor"),
        ({"after": "١"}, 422, "invalid-cursor"),
        ({"nonsense": "1"}, 422, "invalid"),
        ({"progress": "perhaps"}, 422, "invalid"),
        ({"topics": "x" * 9000}, 422, "invalid"),
    ],
)
def test_bad_questions_get_a_problem(ada: httpx.Client, params: dict[str, str], status: int, code: str) -> None:
    problem(ada.get(STREAM, params=params), status, code)
    problem(ada.get(STREAM, headers={"Accept": "application/json"}), 406, "not-acceptable")


def test_a_sign_of_life_comes_with_the_place(ada: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    with following(ada) as follower:
        begun = follower.last
        message = follower.next()
    assert (message.comment, message.data) == ("heartbeat", None)
    assert int(message.id or 0) >= int(begun or 0)


def test_progress_is_told_and_is_not_in_the_journal(gateway: Running, ada: httpx.Client) -> None:
    size = 256 << 20
    with (gateway.folder / "lab" / "big").open("wb") as file:
        file.truncate(size)
    (gateway.folder / "lab" / "big-copy").unlink(missing_ok=True)
    with following(ada, progress="1") as follower:
        id = submit(ada, ("lab:/big", "mem:/big"))
        seen = []
        while True:
            message = follower.next()
            if message.event == "scigate.transfer.progress":
                assert message.id is None
                seen.append(message.data)
            if message.data and done(id)(message.data):
                break
    assert all(one["source"] == f"/api/v1/transfers/{one['data']['transfer']}" for one in seen)
    ours = [one["data"] for one in seen if one["data"]["transfer"] == id]  # another test's may still move
    assert all(0 <= data["bytes_done"] <= size for data in ours)
    assert "scigate.transfer.progress" not in [event["type"] for event in journal(ada, id)]


@pytest.fixture
def small_service(tmp_path: Path) -> Iterator[Service]:
    """A gateway that bears three streams, two of one user."""
    limits = "[limits]\nevent_streams = 3\nevent_streams_per_user = 2\n"
    service = build(Settings.load(write_settings(tmp_path, limits)))
    service.start()
    yield service
    service.stop()


def test_streams_are_limited_per_user_and_in_all(small_service: Service, tmp_path: Path) -> None:
    running = Running(small_service, tmp_path)
    ada, bo, root = running.client("ada"), running.client("bo"), running.client("root")
    with following(ada), following(ada):
        answer = ada.get(STREAM)
        assert problem(answer, 429, "too-many-streams")["retriable"]
        assert int(answer.headers["Retry-After"]) > 0
        with following(bo):
            problem(root.get(STREAM), 503, "too-many-streams")
    end = time.monotonic() + 120
    while root.get(STREAM, headers={"Accept": "x/y"}).status_code != 406 or small_service._http._site.fanout._of_user:
        assert time.monotonic() < end, "streams that were closed still count"
        time.sleep(0.02)
    with following(root):
        assert small_service._http._site.fanout._of_user == {"root": 1}
    for client in running.clients:
        client.close()


def seconds_to_end_a_stream(tmp_path: Path) -> float:
    """How long a gateway takes to stop while somebody follows, who is told the end instead of being cut off."""
    service = build(Settings.load(write_settings(tmp_path)))
    service.start()
    ada = Running(service, tmp_path).client()
    with following(ada) as follower:
        begun = time.monotonic()
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        with pytest.raises((StopIteration, RuntimeError)):  # the end of the stream, and not a cut connection
            while True:
                follower.next()
        stopping.join()
    ada.close()
    return time.monotonic() - begun


def test_a_server_that_stops_ends_its_streams_and_does_not_wait_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN", 120.0)
    assert seconds_to_end_a_stream(tmp_path) < 60, "less than requests get to end"


def test_a_stream_ends_in_order_also_when_there_is_no_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that stands still for so long."""
    monkeypatch.setattr(module, "FAREWELL", 0.0)
    assert seconds_to_end_a_stream(tmp_path) < 60


def test_who_takes_nothing_for_too_long_is_disconnected(
    gateway: Running, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    folder = gateway.folder / "lab" / "stall"
    folder.mkdir()
    for number in range(400):
        (folder / f"f{number}").write_bytes(b"")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", gateway.service.port))
        request = f"GET {STREAM}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['ada']}\r\n\r\n"
        slow.sendall(request.encode())
        id = submit(ada, ("lab:/stall/", "mem:/stall/"))
        with following(ada, topics=f"transfer:{id}", after="0") as follower:
            assert len(follower.events(done(id))) > 1000
        monkeypatch.setattr(module, "STALL", 0.3)  # only now: whoever reads may have been held up by this machine
        fanout = gateway.service._http._site.fanout
        end = time.monotonic() + 120
        while fanout._connections and time.monotonic() < end:
            time.sleep(0.02)
        assert not fanout._connections
        assert not fanout._readers
        slow.settimeout(120)
        with pytest.raises(ConnectionError):
            while slow.recv(1 << 20):
                pass
            raise ConnectionError("ended")


def test_the_progress_of_an_upload_has_both_its_legs(gateway: Running, ada: httpx.Client) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    made = ada.post(
        "/api/v1/uploads", params={"destination": "lab:/legs"}, headers={**tus, "Upload-Length": "3000000"}
    )  # fmt: skip
    location = made.headers["Location"]
    transfer = ada.get(location).json()["transfer"]
    with following(ada, topics=f"transfer:{transfer}", progress="1") as follower:
        first = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert ada.patch(location, content=bytes(1_000_000), headers=first).status_code == 204
        told: dict[str, Any] = {"arrived": {"bytes": 0}}
        while told["arrived"]["bytes"] < 1_000_000:  # it may be looked at while they come
            if (message := follower.next()).event == "scigate.transfer.progress":
                told = message.data["data"]
    assert told["arrived"]["bytes"] == 1_000_000
    assert told["bytes_done"] == 0
