"""Every route against every kind of caller; a new route without a row here fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scigate.gateway_api.http.route import Route
from scigate.gateway_api.http.routes import ROUTES
from scigate.gateway_api.policy import Rule

from .conftest import Running, problem

V1 = "/api/v1"
FILE = f"{V1}/files/{{storage}}/{{path}}"
TRANSFER = f"{V1}/transfers/{{id}}"
UPLOADS = f"{V1}/uploads"
UPLOAD = f"{V1}/uploads/{{id}}"
WEBHOOKS = f"{V1}/webhooks"
EVENTS = f"{V1}/events"
WEBHOOK = f"{WEBHOOKS}/{{id}}"

TUS = {"Tus-Resumable": "1.0.0"}
TO_UPLOAD: dict[str, Any] = {"params": {"destination": "adas:/up"}, "headers": {**TUS, "Upload-Length": "4"}}

Expected = dict[str, int]
SEEN_BY_ALL: Expected = {"anonymous": 401, "owner": 200, "other": 200, "admin": 200}
OWN: Expected = {"anonymous": 401, "owner": 200, "other": 404, "admin": 200}
ACCEPTED: Expected = {"anonymous": 401, "owner": 202, "other": 404, "admin": 202}
UNFIT: Expected = {"anonymous": 401, "owner": 409, "other": 404, "admin": 409}  # the owner is told that it does not fit
PUBLIC: Expected = {"anonymous": 200, "owner": 200, "other": 200, "admin": 200}

MATRIX: dict[tuple[str, str], Expected] = {
    ("GET", f"{V1}/storages"): SEEN_BY_ALL,
    ("GET", f"{V1}/storages/{{name}}"): OWN,
    ("GET", FILE): OWN,
    ("PUT", FILE): ACCEPTED,
    ("DELETE", FILE): {"anonymous": 401, "owner": 204, "other": 404, "admin": 204},
    ("POST", FILE): {"anonymous": 401, "owner": 422, "other": 404, "admin": 422},  # memory has no empty folders
    ("POST", f"{V1}/moves"): OWN,
    ("POST", f"{V1}/transfers"): {"anonymous": 401, "owner": 202, "other": 422, "admin": 202},
    ("GET", f"{V1}/transfers"): SEEN_BY_ALL,
    ("GET", TRANSFER): OWN,
    ("GET", f"{TRANSFER}/files"): OWN,
    ("GET", f"{TRANSFER}/events"): OWN,
    ("POST", f"{TRANSFER}/pause"): UNFIT,
    ("POST", f"{TRANSFER}/resume"): UNFIT,
    ("POST", f"{TRANSFER}/cancel"): UNFIT,
    ("POST", f"{TRANSFER}/retry"): UNFIT,
    ("GET", EVENTS): OWN,
    ("GET", f"{EVENTS}/ws"): {"anonymous": 401, "owner": 426, "other": 426, "admin": 426},  # no WebSocket handshake
    ("POST", f"{V1}/tickets"): {"anonymous": 401, "owner": 201, "other": 201, "admin": 201},
    ("POST", WEBHOOKS): {"anonymous": 401, "owner": 201, "other": 201, "admin": 201},
    ("GET", WEBHOOKS): SEEN_BY_ALL,
    ("GET", WEBHOOK): OWN,
    ("DELETE", WEBHOOK): {"anonymous": 401, "owner": 204, "other": 404, "admin": 204},
    ("POST", f"{WEBHOOK}/replay"): OWN,
    ("POST", f"{WEBHOOK}/enable"): OWN,
    ("POST", f"{WEBHOOK}/test"): OWN,
    ("POST", UPLOADS): {"anonymous": 401, "owner": 201, "other": 404, "admin": 201},
    ("GET", UPLOADS): SEEN_BY_ALL,
    ("OPTIONS", UPLOADS): {"anonymous": 401, "owner": 204, "other": 204, "admin": 204},
    ("HEAD", UPLOAD): OWN,
    ("GET", UPLOAD): OWN,
    ("PATCH", UPLOAD): {"anonymous": 401, "owner": 204, "other": 404, "admin": 204},
    ("DELETE", UPLOAD): {"anonymous": 401, "owner": 204, "other": 404, "admin": 204},
    ("OPTIONS", UPLOAD): {"anonymous": 401, "owner": 204, "other": 204, "admin": 204},
    ("POST", f"{V1}/manifests"): {"anonymous": 401, "owner": 201, "other": 404, "admin": 201},
    ("GET", f"{V1}/status"): SEEN_BY_ALL,
    ("GET", f"{V1}/openapi.json"): SEEN_BY_ALL,
    ("GET", "/docs"): SEEN_BY_ALL,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): {"anonymous": 401, "owner": 403, "other": 403, "admin": 200},
}
"""Method and path → caller → status. The storage and the transfer are ada's."""

USERS = {"anonymous": None, "owner": "ada", "other": "bo", "admin": "root"}


@pytest.fixture(scope="module")
def transfer(gateway: Running) -> str:
    """The id of a finished transfer of ada's."""
    client = gateway.client("ada")
    put(gateway, "source")
    body = {"files": [{"source": "adas:/source", "destination": "adas:/copy"}], "overwrite": "overwrite"}
    answer = client.post(f"{V1}/transfers", json=body)
    from .conftest import finished

    return str(finished(client, answer.headers["Location"])["id"])


def put(gateway: Running, path: str) -> None:
    """An object of ada's, there at once."""
    gateway.service._storages.get("adas").backend.put(path, b"data")


def webhook(gateway: Running) -> str:
    """The id of a webhook of ada's, to where nobody listens; the only one that she has."""
    client = gateway.client("ada")
    for old in client.get(WEBHOOKS).json()["items"]:
        client.delete(f"{WEBHOOKS}/{old['id']}")
    return str(client.post(WEBHOOKS, json={"url": "http://127.0.0.1:9/"}).json()["webhook"]["id"])


def upload(gateway: Running) -> str:
    """The id of a new upload of ada's, of which nothing has been sent."""
    answer = gateway.client("ada").post(UPLOADS, **TO_UPLOAD)
    return answer.headers["Location"].rpartition("/")[2]


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MATRIX)


def test_only_the_health_checks_are_open() -> None:
    assert {route.path for route in ROUTES if route.rule is Rule.ANYONE} == {"/healthz", "/readyz"}


@pytest.mark.parametrize("caller", USERS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_route(gateway: Running, transfer: str, route: Route, caller: str) -> None:
    put(gateway, "file")
    gateway.service._storages.get("adas").backend.put("source", b"data")
    own = {Rule.WEBHOOK: webhook, Rule.UPLOAD: upload}
    id = own[route.rule](gateway) if route.rule in own else transfer
    url = route.path.format(name="adas", storage="adas", path="file", id=id)
    if route.path == EVENTS:
        url += f"?topics=transfer:{transfer}"
    answer = ask(gateway.client(USERS[caller]), route, url)
    assert answer.status_code == MATRIX[route.method, route.path][caller], answer.text
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def ask(client: httpx.Client, route: Route, url: str) -> httpx.Response:
    bodies: dict[str, Callable[[], dict[str, object]]] = {
        f"{V1}/moves": lambda: {"json": {"source": "adas:/file", "destination": "adas:/moved", "overwrite": True}},
        f"{V1}/transfers": lambda: {
            "json": {"files": [{"source": "adas:/source", "destination": "adas:/c"}], "overwrite": "overwrite"}
        },
        UPLOADS: lambda: TO_UPLOAD,
        f"{V1}/manifests": lambda: {"json": {"destination": "adas:/in/", "files": [{"path": "a", "size": 1}]}},
        WEBHOOKS: lambda: {"json": {"url": "http://127.0.0.1:9/"}},
        f"{WEBHOOK}/replay": lambda: {"json": {"after": "0"}},
        FILE: lambda: {"content": b"data", "params": {"overwrite": "overwrite"}} if route.method == "PUT" else {},
    }
    given = bodies.get(route.path, dict)() if route.method in ("POST", "PUT") else {}
    if route.path == UPLOAD and route.method in ("HEAD", "PATCH"):
        given = {"headers": {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}}
    if route.path == EVENTS:  # has no end
        with client.stream("GET", url) as answer:
            return answer
    return client.request(route.method, url, **given)  # type: ignore[arg-type]


def test_a_foreign_transfer_answers_like_one_that_is_not_there(gateway: Running, transfer: str) -> None:
    client = gateway.client("bo")
    foreign = problem(client.get(f"{V1}/transfers/{transfer}"), 404, "not-found")
    missing = problem(client.get(f"{V1}/transfers/{'0' * 32}"), 404, "not-found")
    assert foreign["title"].replace(transfer, "") == missing["title"].replace("0" * 32, "")


def test_a_foreign_storage_answers_like_one_that_is_not_there(gateway: Running) -> None:
    client = gateway.client("bo")
    foreign = problem(client.get(f"{V1}/files/adas/file"), 404, "not-found")
    missing = problem(client.get(f"{V1}/files/none/file"), 404, "not-found")
    assert foreign["title"].replace("adas", "") == missing["title"].replace("none", "")


def test_lists_hold_only_what_is_ones_own(gateway: Running, transfer: str) -> None:
    names = {
        user: [one["name"] for one in gateway.client(user).get(f"{V1}/storages").json()["items"]]
        for user in USERS.values()
        if user
    }
    assert names["ada"] == ["adas", "community", "frozen", "lab", "mem"]
    assert names["bo"] == ["frozen", "lab", "mem"]
    assert names["root"] == ["adas", "community", "frozen", "lab", "mem"]
    assert gateway.client("bo").get(f"{V1}/transfers").json()["items"] == []
    assert transfer in [one["id"] for one in gateway.client("root").get(f"{V1}/transfers").json()["items"]]


def test_status_shows_plugins_and_counts_to_admins_only(gateway: Running) -> None:
    other, admin = (gateway.client(user).get(f"{V1}/status").json() for user in ("bo", "root"))
    assert other["files"] == {}
    assert "done" in admin["files"]
    assert not [check for check in other["checks"] if "adas" in check["name"]]


def test_the_staging_area_cannot_be_named(gateway: Running) -> None:
    client = gateway.client("root")
    problem(client.get(f"{V1}/storages/staging"), 404, "not-found")
    problem(client.get(f"{V1}/files/staging/"), 404, "not-found")
    for pair in (("staging:/a", "mem:/a"), ("mem:/a", "staging:/a")):
        body = {"files": [{"source": pair[0], "destination": pair[1]}]}
        assert "staging" in problem(client.post(f"{V1}/transfers", json=body), 422, "invalid-transfer")["detail"]


def test_a_read_only_storage_is_read_and_not_written(gateway: Running) -> None:
    (gateway.folder / "frozen" / "a").write_bytes(b"ice")
    client = gateway.client("root")
    assert client.get(f"{V1}/files/frozen/a").content == b"ice"
    problem(client.put(f"{V1}/files/frozen/b", content=b"x"), 403, "read-only")
    problem(client.delete(f"{V1}/files/frozen/a"), 403, "read-only")
    problem(client.post(f"{V1}/files/frozen/new/"), 403, "read-only")
    move = {"source": "frozen:/a", "destination": "frozen:/b"}
    problem(client.post(f"{V1}/moves", json=move), 403, "read-only")


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic cm9vdDpyb290", "Token abc", "Bearer", "\x00"])
def test_a_token_that_is_none_is_refused(gateway: Running, header: str) -> None:
    status, headers, body = gateway.raw("GET", f"{V1}/storages", headers={"Authorization": header})
    assert status in (400, 401)
    assert b"adas" not in body
    assert status == 400 or headers["www-authenticate"] == 'Bearer realm="scigate"'


def test_a_token_in_the_url_is_refused_even_if_it_is_right(gateway: Running) -> None:
    from .conftest import TOKENS

    answer = gateway.client("ada").get(f"{V1}/storages", params={"token": TOKENS["ada"]})
    assert TOKENS["ada"] not in answer.text
    problem(answer, 400, "token-in-url")


def test_a_browser_may_give_the_token_as_a_password_for_pages_only(gateway: Running) -> None:
    from .conftest import TOKENS

    client = gateway.client(None, auth=("anybody", TOKENS["bo"]))
    assert client.get("/docs").status_code == 200
    problem(client.get(f"{V1}/storages"), 401, "unauthorized")
    assert "Basic" in gateway.client(None).get("/docs").headers["WWW-Authenticate"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "[::2]"])
def test_a_foreign_host_name_is_refused_on_loopback(gateway: Running, host: str) -> None:
    answer = gateway.client("ada").get(f"{V1}/storages", headers={"Host": host})
    problem(answer, 421, "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8470", "[::1]:8470"])
def test_names_of_this_machine_are_fine(gateway: Running, host: str) -> None:
    assert gateway.client("ada").get(f"{V1}/storages", headers={"Host": host}).status_code == 200
