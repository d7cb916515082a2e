"""Every route against every kind of caller, and every id that is somebody else's.

The table names every caller in every row, so that a new route, and a new role, cannot be forgotten.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from scigate.gateway_api.actor import Role
from scigate.gateway_api.http.route import Route
from scigate.gateway_api.http.routes import ROUTES
from scigate.gateway_api.policy import SAFE, Rule

from tests.evidence import record

from .gateway import USERS, Evil
from .wire import Reply

V1 = "/api/v1"
FILE = f"{V1}/files/{{storage}}/{{path}}"
TRANSFER = f"{V1}/transfers/{{id}}"
BULK = f"{V1}/transfers/bulk"
UPLOADS = f"{V1}/uploads"
UPLOAD = f"{V1}/uploads/{{id}}"
WEBHOOKS = f"{V1}/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{id}}"
EVENTS = f"{V1}/events"
TUS = {"Tus-Resumable": "1.0.0"}
NOTHING = "0" * 32
"""An id that nothing has."""


class Row(NamedTuple):
    """The status that each caller gets; what is asked for is the owner's, at a storage that is the owner's alone."""

    anonymous: int
    owner: int
    community: int
    """Somebody of the same community."""
    other: int
    curator: int
    reader: int
    """Somebody else who may only look."""
    admin: int


CALLERS: dict[str, tuple[str | None, frozenset[Role]]] = {
    "anonymous": (None, frozenset()),
    "owner": ("ada", frozenset({Role.USER})),
    "community": ("eve", frozenset({Role.USER})),
    "other": ("bo", frozenset({Role.USER})),
    "curator": ("cora", frozenset({Role.USER, Role.CURATOR})),
    "reader": ("rita", frozenset({Role.READER})),
    "admin": ("root", frozenset({Role.USER, Role.ADMIN})),
}


def everybodys(status: int = 200, reader: int | None = None) -> Row:
    """``reader``: what who may only look gets, if it is something else."""
    return Row(401, status, status, status, status, reader or status, status)


def own(status: int = 200, reader: int = 404) -> Row:
    """The owner's and the admin's; to others it is not there."""
    return Row(401, status, 404, 404, 404, reader, status)


def own_change(status: int = 200) -> Row:
    """The same of what changes something: a reader is told so before anything is looked for."""
    return own(status, 403)


PUBLIC = Row(200, 200, 200, 200, 200, 200, 200)
REFUSED_AS_WRONG = Row(401, 202, 422, 422, 422, 403, 202)

MATRIX: dict[tuple[str, str], Row] = {
    ("GET", f"{V1}/storages"): everybodys(),
    ("GET", f"{V1}/storages/{{name}}"): own(),
    ("GET", FILE): own(),
    ("PUT", FILE): own_change(202),
    ("DELETE", FILE): own_change(204),
    ("POST", FILE): own_change(201),
    ("POST", f"{V1}/moves"): own_change(),
    ("POST", f"{V1}/transfers"): REFUSED_AS_WRONG,
    ("POST", f"{V1}/transfers/bulk"): REFUSED_AS_WRONG,
    ("POST", BULK): REFUSED_AS_WRONG,
    ("GET", f"{V1}/transfers"): everybodys(),
    ("GET", TRANSFER): own(),
    ("GET", f"{TRANSFER}/files"): own(),
    ("GET", f"{TRANSFER}/events"): own(),
    ("GET", f"{TRANSFER}/rates"): own(),
    ("POST", f"{TRANSFER}/pause"): own_change(409),  # the owner is told that it is over
    ("POST", f"{TRANSFER}/resume"): own_change(409),
    ("POST", f"{TRANSFER}/cancel"): own_change(409),
    ("POST", f"{TRANSFER}/retry"): own_change(409),
    ("GET", EVENTS): own(),
    ("GET", f"{EVENTS}/ws"): everybodys(426),  # no WebSocket handshake
    ("POST", f"{V1}/tickets"): everybodys(201),
    ("POST", f"{V1}/tickets/page"): everybodys(201),
    ("POST", WEBHOOKS): everybodys(201, reader=403),
    ("GET", WEBHOOKS): everybodys(),
    ("GET", WEBHOOK): own(),
    ("DELETE", WEBHOOK): own_change(204),
    ("POST", f"{WEBHOOK}/replay"): own_change(),
    ("POST", f"{WEBHOOK}/enable"): own_change(),
    ("POST", f"{WEBHOOK}/test"): own_change(),
    ("POST", UPLOADS): own_change(201),
    ("GET", UPLOADS): everybodys(),
    ("OPTIONS", UPLOADS): everybodys(204),
    ("HEAD", UPLOAD): own(),
    ("GET", UPLOAD): own(),
    ("PATCH", UPLOAD): own_change(204),
    ("DELETE", UPLOAD): own_change(204),
    ("OPTIONS", UPLOAD): everybodys(204),
    ("POST", f"{V1}/manifests"): own_change(201),
    ("GET", f"{V1}/status"): everybodys(),
    ("GET", f"{V1}/openapi.json"): everybodys(),
    ("GET", "/docs"): everybodys(),
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): Row(401, 403, 403, 403, 403, 403, 200),
}
OWNED = (Rule.TRANSFER, Rule.UPLOAD, Rule.WEBHOOK, Rule.STORAGE_READ, Rule.STORAGE_WRITE)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MATRIX)


def test_every_role_has_a_caller() -> None:
    """A new role has to be given a caller, and a caller needs a column: every row then lacks a value."""
    assert set().union(*(roles for _, roles in CALLERS.values())) == set(Role)
    assert tuple(CALLERS) == Row._fields
    assert {user for user, _ in CALLERS.values() if user} == set(USERS)


def test_every_rule_is_somebodys() -> None:
    """The pages of a hub have tests beside the hub's."""
    assert set(Rule) == {*OWNED, Rule.ANYONE, Rule.USER, Rule.ADMIN, Rule.PAGE}


def test_who_may_only_look_is_refused_whatever_changes_something() -> None:
    """By the table alone, so that a new route cannot be open by mistake; what only seems to change it says so."""
    harmless = {(route.method, route.path) for route in ROUTES if route.harmless}
    assert harmless == {("POST", f"{V1}/tickets"), ("POST", f"{V1}/tickets/page")}
    changing = [route for route in ROUTES if route.method not in SAFE and not route.harmless]
    assert {MATRIX[route.method, route.path].reader for route in changing} == {403}


def test_only_the_health_checks_are_open() -> None:
    assert {route.path for route in ROUTES if route.rule is Rule.ANYONE} == {"/healthz", "/readyz"}


class Owner:
    """Makes what is ada's, and knows how to ask for it."""

    def __init__(self, evil: Evil) -> None:
        self.evil, self.folder, self.wire = evil, evil.folder / "adas", evil.wire("ada")
        self.refill()
        body = {"files": [{"source": "adas:/source", "destination": "adas:/copy"}], "overwrite": "overwrite"}
        self.transfer = self.wire.ask("POST", f"{V1}/transfers", body).json["transfer"]["id"]
        evil.finished(self.wire, [self.transfer])

    def refill(self) -> None:
        for name in ("file", "source"):
            (self.folder / name).write_bytes(b"data")
        if (self.folder / "new").exists():
            (self.folder / "new").rmdir()

    def upload(self) -> str:
        reply = self.wire.ask("POST", f"{UPLOADS}?destination=adas:/up", b"", {**TUS, "Upload-Length": "4"})
        return reply.header("Location").rpartition("/")[2]

    def webhook(self) -> str:
        for old in self.wire.ask("GET", WEBHOOKS).json["items"]:
            self.wire.ask("DELETE", f"{WEBHOOKS}/{old['id']}")
        return str(self.wire.ask("POST", WEBHOOKS, {"url": "http://127.0.0.1:9/"}).json["webhook"]["id"])

    def id_for(self, route: Route) -> str:
        made = {Rule.WEBHOOK: self.webhook, Rule.UPLOAD: self.upload}
        return made[route.rule]() if route.rule in made else self.transfer


@pytest.fixture(scope="module")
def owner(evil: Evil) -> Owner:
    return Owner(evil)


def request_for(route: Route, storage: str, id: str) -> tuple[str, Any, dict[str, str]]:
    """Target, body and headers of a good request."""
    path = "new/" if (route.method, route.path) == ("POST", FILE) else "file"
    target = route.path.format(name=storage, storage=storage, path=path, id=id)
    bodies: dict[str, Any] = {
        f"{V1}/moves": {"source": f"{storage}:/file", "destination": f"{storage}:/moved", "overwrite": True},
        f"{V1}/transfers": {
            "files": [{"source": f"{storage}:/source", "destination": f"{storage}:/copy"}], "overwrite": "overwrite"
        },
        f"{V1}/manifests": {"destination": f"{storage}:/in/", "files": [{"path": "a", "size": 1}]},
        WEBHOOKS: {"url": "http://127.0.0.1:9/"},
        f"{WEBHOOK}/replay": {"after": "0"},
    }  # fmt: skip
    body = bodies.get(route.path, b"") if route.method == "POST" else b""
    headers: dict[str, str] = {}
    if (route.method, route.path) == ("PUT", FILE):
        target, body = target + "?overwrite=overwrite", b"data"
    if route.path == f"{V1}/transfers/bulk":
        body = f'{{"source": "{storage}:/source", "destination": "{storage}:/bulk"}}'.encode()
        target, headers = target + "?overwrite=overwrite", {"Content-Type": "application/x-ndjson"}
    if route.path in (UPLOADS, UPLOAD):
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    if (route.method, route.path) == ("POST", UPLOADS):
        target, headers = f"{target}?destination={storage}:/up", {**TUS, "Upload-Length": "4"}
    if route.path == EVENTS:
        target += f"?topics=transfer:{id}"
    return target, body, headers


def ask(evil: Evil, user: str | None, route: Route, storage: str, id: str) -> Reply:
    target, body, headers = request_for(route, storage, id)
    if route.path == EVENTS:
        return evil.wire(user).head_of(target)  # it has no end
    return evil.wire(user).ask(route.method, target, body, headers)


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_for(evil: Evil, owner: Owner, caller: str) -> None:
    begun, wrong = time.monotonic(), []
    for route in ROUTES:
        owner.refill()
        reply = ask(evil, CALLERS[caller][0], route, "adas", owner.id_for(route))
        expected = getattr(MATRIX[route.method, route.path], caller)
        if reply.status != expected:
            wrong.append(f"{route.method} {route.path}: {reply.status}, not {expected}: {reply.body[:200]!r}")
        if reply.status >= 400 and route.method != "HEAD" and not reply.is_problem:
            wrong.append(f"{route.method} {route.path}: no problem document")
        if reply.status == 401 and not reply.header("WWW-Authenticate").startswith("Bearer"):
            wrong.append(f"{route.method} {route.path}: no challenge")
    record("evil.authorisation", runs=len(ROUTES), bad=len(wrong), seconds=time.monotonic() - begun, caller=caller)
    assert wrong == []


def told(reply: Reply, names: tuple[str, ...]) -> tuple[Any, ...]:
    """What an answer says, apart from the names that were in the request."""
    text = reply.body.decode()
    for name in names:
        text = text.replace(name, "NAME")
    headers = sorted((key, value) for key, value in reply.headers if key not in ("Date", "Content-Length"))
    return reply.status, headers, text


@pytest.mark.parametrize("caller", ["community", "other", "curator", "reader"])
def test_what_is_somebody_elses_answers_like_what_is_not_there(evil: Evil, owner: Owner, caller: str) -> None:
    """Status, headers, words and length: nothing tells that it exists."""
    begun, wrong, cells = time.monotonic(), [], 0
    for route in [route for route in ROUTES if route.rule in OWNED or MATRIX[route.method, route.path].other == 404]:
        id = owner.id_for(route)
        foreign = ask(evil, CALLERS[caller][0], route, "adas", id)
        missing = ask(evil, CALLERS[caller][0], route, "nada", NOTHING)
        cells += 1
        if told(foreign, ("adas", id)) != told(missing, ("nada", NOTHING)):
            wrong.append(f"{route.method} {route.path}: {foreign.body!r} and {missing.body!r}")
    record("evil.authorisation", runs=cells, bad=len(wrong), seconds=time.monotonic() - begun, kind="foreign ids")
    assert cells >= 20
    assert wrong == []


@pytest.mark.parametrize("what", ["transfer", "upload", "webhook", "storage", "file"])
def test_time_does_not_tell_that_it_exists(evil: Evil, owner: Owner, what: str) -> None:
    """Asked for in one go, so that whatever else the machine does befalls both alike. A busy one gets another try: what
    tells is told each time, and the same way round."""
    upload, webhook = owner.upload(), owner.webhook()
    targets: dict[str, Callable[[bool], str]] = {
        "transfer": lambda real: f"{V1}/transfers/{owner.transfer if real else NOTHING}",
        "upload": lambda real: f"{UPLOADS}/{upload if real else NOTHING}",
        "webhook": lambda real: f"{WEBHOOKS}/{webhook if real else NOTHING}",
        "storage": lambda real: f"{V1}/storages/{'adas' if real else 'nada'}",
        "file": lambda real: f"{V1}/files/{'adas' if real else 'nada'}/file?meta=1",
    }
    wire, seen, rng = evil.wire("bo"), [], random.Random(4)
    for _ in range(6):
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(200):
            there = rng.random() < 0.5  # in no order that something else on the machine could keep time with
            begun = time.perf_counter()
            assert wire.ask("GET", targets[what](there)).status == 404
            times[there].append(time.perf_counter() - begun)
        real, missing = (statistics.quantiles(times[one], n=4)[0] for one in (True, False))
        seen.append((real - missing) / min(real, missing))
        if abs(seen[-1]) < 0.15 or seen[-1] * seen[0] < 0:
            break
    told = all(abs(one) >= 0.15 and one * seen[0] > 0 for one in seen)
    record("evil.authorisation", runs=200 * len(seen), bad=int(told), seconds=0, kind=f"time of {what}")
    assert not told, seen


def test_a_role_cannot_be_claimed(evil: Evil, owner: Owner) -> None:
    """Neither in a header that a proxy might set, nor in a body, nor in the query."""
    names = ("X-Role", "X-Roles", "X-User", "X-Remote-User", "Remote-User", "REMOTE_USER", "X-Forwarded-User",
             "X-Admin", "X-Original-User", "X-SSL-Client-S-DN", "SSL_CLIENT_S_DN", "SSL_CLIENT_CERT", "X-Auth-User",
             "X-Authenticated-User", "X-Forwarded-For", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "Forwarded",
             "X-HTTP-Method-Override", "X-Scigate-User", "Impersonate-User", "X-Scigate-Roles", "Cookie")  # fmt: skip
    wire, wrong = evil.wire("bo"), []
    for name in names:
        for value in ("root", "admin", "ada", "user=root; roles=admin", "DELETE", "/healthz", "127.0.0.1"):
            for target, expected in (("/metrics", 403), (f"{V1}/transfers/{owner.transfer}", 404)):
                status = wire.ask("GET", target, b"", {name: value}).status
                if status != expected:
                    wrong.append(f"{name}: {value} at {target}: {status}")
    for field in ("owner", "roles", "role", "actor", "user", "id", "state", "worker", "epoch", "wish"):
        body = {"files": [{"source": "lab:/a", "destination": "lab:/b"}], field: "root"}
        if (status := wire.ask("POST", f"{V1}/transfers", body).status) != 422:
            wrong.append(f"{field} in the body: {status}")
        if (status := wire.ask("GET", f"{V1}/transfers?{field}=QUEUED").status) != (200 if field == "state" else 422):
            wrong.append(f"{field} in the query: {status}")
    assert wrong == []
