"""Storages: opened when asked for, looked at with patience, broken ones alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scigate.gateway_api import storages as module
from scigate.gateway_api.entries import surl
from scigate.gateway_api.resources import StorageState
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.storages import Probes, Storages, StorageStatus
from scigate.storage_backends.errors import Misconfigured, NotFound
from scigate.storage_backends.registry import BackendRegistry


@pytest.fixture
def storages(tmp_path: object) -> Iterator[Storages]:
    registry = BackendRegistry()
    text = f"""
[storages.mem]
type = "memory"
[storages.frozen]
type = "memory"
read_only = true
[storages.gone]
type = "posix"
root = "{tmp_path}/none"
[storages.web]
type = "http"
url = "http://127.0.0.1:9/"
"""
    found = Storages(Settings.parse(text, registry=registry).storages, registry)
    yield found
    found.close()


def test_one_storage_is_opened_once(storages: Storages) -> None:
    assert storages.names() == ["frozen", "gone", "mem", "web"]
    assert storages.get("mem") is storages.get("mem")
    assert [opened.name for opened in storages.opened()] == ["mem"]
    with pytest.raises(NotFound):
        storages.get("none")


def test_read_only_is_seen_in_the_limits(storages: Storages) -> None:
    assert storages.get("frozen").limits.read_only
    assert not storages.get("mem").limits.read_only


def test_status(storages: Storages) -> None:
    assert storages.status("mem").state is StorageState.UP
    gone = storages.status("gone")
    assert gone.state is StorageState.DOWN
    assert gone.cause is not None
    assert gone.cause.next_step
    assert storages.status("web").state is StorageState.DOWN


@pytest.mark.parametrize(("answer", "state"), [(404, "up"), (403, "up"), (301, "up"), (200, "up"), (500, "down")])
def test_a_web_server_is_up_when_it_answers_whatever_it_says(answer: int, state: str) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, *_: object) -> None:
            pass

    registry = BackendRegistry()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        text = f'[storages.web]\ntype = "http"\nurl = "http://127.0.0.1:{server.server_port}/data/"\n'
        found = Storages(Settings.parse(text, registry=registry).storages, registry)
        status = found.status("web")
        found.close()
        server.shutdown()
    assert status.state == state
    assert (status.cause is None) == (state == "up")


def test_what_is_moved_is_counted(storages: Storages) -> None:
    backend = storages.get("mem").backend
    backend.put("a", b"12345")
    b"".join(backend.read("a"))
    totals = storages.get("mem").meter.totals()
    assert (totals["put"].bytes, totals["read"].bytes) == (5, 5)


def test_a_storage_whose_plugin_was_broken_says_so() -> None:
    registry = BackendRegistry()
    section = Settings.parse("[storages.m]\ntype = 'memory'").storages["m"].model_copy(update={"options": None})
    found = Storages({"m": section}, registry)
    with pytest.raises(Misconfigured, match="plug-in was broken"):
        found.get("m")
    assert found.status("m").state is StorageState.DOWN
    found.close()


def test_a_storage_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", timedelta(milliseconds=50))
    release, looking, looks = threading.Event(), threading.Event(), []

    def look(name: str) -> StorageStatus:
        looks.append(name)
        looking.set()
        release.wait(240)
        return StorageStatus(StorageState.UP)

    probes = Probes(look)
    began = time.monotonic()
    assert [probes.status("slow").state for _ in range(5)] == [StorageState.UNKNOWN] * 5
    assert time.monotonic() - began < 120
    assert looking.wait(120)
    assert looks == ["slow"], "one look is enough for all who ask"
    release.set()
    end = time.monotonic() + 60
    while probes.status("slow").state is not StorageState.UP:
        assert time.monotonic() < end
    probes.close()


def test_every_path_has_the_url_of_its_own_storage(storages: Storages, tmp_path: object) -> None:
    assert surl(storages.get("gone"), "a b/\udcff") == f"file://{tmp_path}/none/a%20b/%FF"
    assert surl(storages.get("web"), "x") == "http://127.0.0.1:9/x"
    assert surl(storages.get("mem"), "x") is None


def test_the_url_of_an_s3_storage_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "canary")
    registry = BackendRegistry()
    text = """
[storages.s]
type = "s3"
bucket = "data"
prefix = "h3a"
access_key = "id"
secret_key = { env = "KEY" }
"""
    found = Storages(Settings.parse(text, registry=registry).storages, registry)
    assert surl(found.get("s"), "run7/a.bam") == "s3://data/h3a/run7/a.bam"
    found.close()
