"""A gateway that stops answers what it can, says so where it cannot, and blames nobody."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.gateway_api.http import server
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

from .conftest import TOKENS, write_settings

ADA = {"Authorization": f"Bearer {TOKENS['ada']}"}
SLOW = "/api/v1/files/lab/file?meta=1"


class Slow:
    """A gateway that looks at files for ``seconds``, or until ``seen`` is set; ``begun``: it does."""

    def __init__(self, folder: Path) -> None:
        self.service, self.seconds = build(Settings.load(write_settings(folder))), 2.0
        self.begun, self.seen = threading.Event(), threading.Event()
        self.service.gateway.look_at = self._look_at  # type: ignore[method-assign, assignment]

    def _look_at(self, *_: object, **__: object) -> None:
        self.begun.set()
        self.seen.wait(self.seconds)

    def asked(self, path: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        connection.request("GET", path, headers=ADA)
        return connection

    def stop(self) -> threading.Thread:
        thread = threading.Thread(target=self.service.stop)
        thread.start()
        return thread


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    made = Slow(tmp_path)
    made.service.start()
    yield made


def is_listening(service: Service) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", service.port, timeout=60).connect()
    except ConnectionRefusedError:
        return False
    return True


def test_kept_connections_are_not_kept_while_it_stops(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else those who ask all the time would be answered until the last request of theirs is cut off."""
    monkeypatch.setattr(server, "DRAIN", 60.0)
    slow.seconds = 60
    kept = slow.asked("/healthz")
    assert kept.getresponse().read() == b"ok\n"
    other = slow.asked(SLOW)
    assert slow.begun.wait(60)
    stopping = slow.stop()
    while is_listening(slow.service):
        time.sleep(0.01)
    kept.request("GET", "/healthz", headers=ADA)
    answer = kept.getresponse()
    assert answer.status == 200
    assert answer.getheader("Connection") == "close"
    slow.seen.set()
    other.close()
    stopping.join()


def test_a_request_that_takes_too_long_is_cut_off_and_no_error_of_ours(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "DRAIN", 0.1)
    slow.seconds = 60
    asked = slow.asked(SLOW)
    assert slow.begun.wait(60)
    with caplog.at_level(logging.WARNING):
        stopping = slow.stop()
        with pytest.raises((http.client.HTTPException, OSError)):
            asked.getresponse()
        slow.seen.set()
        stopping.join()
    assert [record.getMessage() for record in caplog.records if "error" in record.getMessage()] == []


def test_threads_that_run_out_are_told_as_what_passes(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("api"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    answer = slow.asked("/api/v1/status").getresponse()
    assert answer.status == 503
    assert answer.getheader("Retry-After")
    assert b'"code": "overloaded"' in answer.read()
    monkeypatch.undo()
    assert slow.asked("/api/v1/status").getresponse().status == 200
    slow.stop().join()
