"""Every request that the description of the API shows is sent to a running gateway, and answered as it shows.

With ``SCIGATE_RECORD_EXAMPLES=1`` the answers are written into the description instead.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from scigate.gateway_api.http import examples
from scigate.gateway_api.http.examples import DATA, EXAMPLES, IDS, V1
from scigate.gateway_api.http.openapi import document
from scigate.gateway_api.http.openapi_responses import keys
from scigate.gateway_api.http.route import Route
from scigate.gateway_api.http.routes import ROUTES
from scigate.gateway_api.policy import Rule

from .conftest import TOKENS, Running, finished, serving, write_settings

RECORDING = bool(os.environ.get("SCIGATE_RECORD_EXAMPLES"))
HOOK = "https://example.org/scigate"
TOO_LONG = frozenset({f"GET {V1}/openapi.json", "GET /docs", "GET /metrics"})
"""Their answers are not shown."""


@dataclass
class World:
    """A gateway with things in it, and the names that they have in the examples."""

    gateway: Running
    client: httpx.Client
    receiver: str
    names: dict[str, str]

    def real(self, text: str) -> str:
        """What stands for it here."""
        for shown, real in self.names.items():
            text = text.replace(shown, real)
        return text

    def shown(self, text: str) -> str:
        """What the description says for it."""
        for shown, real in self.names.items():
            text = text.replace(real, shown)
        return text


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every event."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: str) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "archive").mkdir()
    extra = f"""
[storages.archive]
type = "posix"
root = "{folder}/archive"
[storages.away]
type = "s3"
endpoint = "http://127.0.0.1:9"
bucket = "none"
access_key = "none"
secret_key = {{ file = "{folder}/key" }}
"""
    (folder / "key").touch(0o600)
    (folder / "key").write_text("none")
    path = write_settings(folder, extra)
    path.write_text(path.read_text().replace('"127.0.0.1:9"]', f'"127.0.0.1:9", "{receiver.partition("//")[2]}"]'))
    with serving(path) as running:
        _see_storages(running.client("ada"))
        yield running


def _see_storages(client: httpx.Client) -> None:
    """Of one that a slow machine has not looked at yet less is told."""
    end = time.monotonic() + 120
    while any(one["state"] == "unknown" for one in client.get(f"{V1}/storages").json()["items"]):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def world(running: Running, receiver: str) -> World:
    """All that the examples speak of, made anew for each."""
    client = running.client("ada")
    lab = running.folder / "lab" / "run7"
    lab.mkdir(exist_ok=True)
    for name in ("a.dat", "old.csv", "draft.csv"):
        (lab / name).write_text(DATA)
    names = {HOOK: f"{receiver}/scigate", "/data": str(running.folder)}
    done, waiting, failed = (_submit(client, source) for source in ("lab:/run7/a.dat", "away:/a", "lab:/none"))
    for transfer in (done, failed):
        finished(client, transfer)
    names |= {IDS[name]: url.rpartition("/")[2] for name, url in
              {"done": done, "waiting": waiting, "failed": failed}.items()}  # fmt: skip
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "15"}
    to = {"destination": "lab:/run7/up.dat", "overwrite": "overwrite"}
    upload = client.post(f"{V1}/uploads", params=to, headers=tus)
    names[IDS["upload"]] = upload.headers["Location"].rpartition("/")[2]
    for old in client.get(f"{V1}/webhooks").json()["items"]:
        client.delete(f"{V1}/webhooks/{old['id']}")
    webhook = client.post(f"{V1}/webhooks", json={"url": names[HOOK]})
    names[IDS["webhook"]] = webhook.json()["webhook"]["id"]
    return World(running, client, receiver, names)


def _submit(client: httpx.Client, source: str) -> str:
    body = {"files": [{"source": source, "destination": "archive:/run7/a.dat"}], "overwrite": "overwrite"}
    return str(client.post(f"{V1}/transfers", json=body).headers["Location"])


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    assert set(EXAMPLES) == {(route.method, route.path) for route in ROUTES}
    assert keys() <= set(EXAMPLES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_example(route: Route, world: World) -> None:
    if route.path == f"{V1}/transfers/{{id}}/resume":
        world.client.post(world.real(f"{V1}/transfers/{IDS['waiting']}/pause"))
    status, headers, body = _send(world, route)
    assert status == route.status, body
    described = document(ROUTES)["paths"][route.path][route.method.lower()]["responses"][str(status)]
    _check_headers(headers, described.get("headers", {}))
    name = f"{route.method} {route.path}"
    if not body or name in TOO_LONG:
        assert examples.answers().get(name) is None
        return
    shown: Any = world.shown(body)
    if headers["content-type"] == "application/json":
        shown = json.loads(_without_secrets(json.dumps(json.loads(shown))))
        schema = described["content"]["application/json"]["schema"]
        jsonschema.validate(shown, {**schema, "components": document(ROUTES)["components"]})
    if RECORDING:
        _record(name, shown)
    else:
        assert _shape(shown) == _shape(examples.answers()[name])


def _send(world: World, route: Route) -> tuple[int, Mapping[str, str], str]:
    example = EXAMPLES[route.method, route.path]
    path = world.real(route.path.format(**example.path))
    query = {name: world.real(value) for name, value in example.query.items()}
    headers = {name: world.real(value) for name, value in example.headers.items()}
    if route.path == f"{V1}/events/ws":
        return _upgrade(world, path, headers)
    body = None if example.body is None else world.real(_as_text(example.body))
    if isinstance(route.body, type):
        headers["Content-Type"] = "application/json"
    elif route.body == "application/x-ndjson":
        headers["Content-Type"] = route.body
    client = world.gateway.client("root") if route.rule is Rule.ADMIN else world.client
    with client.stream(route.method, path, params=query, headers=headers, content=body) as answer:
        if answer.headers.get("Content-Type") == "text/event-stream":
            return answer.status_code, answer.headers, _first_event(answer)
        return answer.status_code, answer.headers, answer.read().decode()


def _as_text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def _first_event(answer: httpx.Response) -> str:
    seen = ""
    for text in answer.iter_text():
        seen += text
        if "data: " in seen and "\n\n" in seen.partition("data: ")[2]:
            break
    before, data, rest = seen.partition("data: ")
    return before + data + rest.partition("\n\n")[0] + "\n\n"


def _upgrade(world: World, path: str, headers: dict[str, str]) -> tuple[int, Mapping[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.service.port, timeout=30)
    opening = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    who = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": f"Bearer {TOKENS['ada']}"}
    connection.request("GET", path, headers={**opening, **who, **headers})
    answer = connection.getresponse()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, ""


def _check_headers(headers: Mapping[str, str], described: Mapping[str, Any]) -> None:
    usual = {"content-type", "content-length", "date", "x-content-type-options", "referrer-policy", "cache-control",
             "content-security-policy", "transfer-encoding", "connection", "vary", "upgrade", "sec-websocket-accept",
             "accept-ranges", "etag", "x-accel-buffering"}  # fmt: skip
    assert {name.lower() for name in headers} - usual - {name.lower() for name in described} == set()


def _without_secrets(text: str) -> str:
    return re.sub(r'"(ticket|secret)": "(whsec_|)[^"]*"', r'"\1": "\2…"', text)


def _record(name: str, shown: Any) -> None:
    path = Path(examples.__file__).with_name("examples.json")
    recorded = json.loads(path.read_text())
    if _shape(recorded.get(name)) != _shape(shown):
        recorded[name] = _short(shown)
    path.write_text(json.dumps(dict(sorted(recorded.items())), indent=1, ensure_ascii=False) + "\n")


def _short(value: Any) -> Any:
    """Two of a list are enough to see how it looks."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return [_short(one) for one in value[:2]] if isinstance(value, list) else value


def _shape(value: Any) -> Any:
    """Which members there are, and of which type; what may be missing is like what is there."""
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items() if one is not None and name not in _VARY}
    if isinstance(value, list):
        return [_shape(one) for one in value[:1]]
    if isinstance(value, str) and "\n" in value:
        return [re.sub(r"\d+|data: .*", "", line) for line in value.splitlines()]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


_VARY = {"rate", "eta_seconds", "digests", "files_by_state", "next", "started", "data", "cause", "next_try", "finished"}
"""Members that depend on the moment."""
