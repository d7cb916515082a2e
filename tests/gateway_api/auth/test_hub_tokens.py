"""Tokens of a real hub at a gateway that serves it: who they belong to, what they may, and when they end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.auth import hub as module
from scigate.storage_backends.testing.servers import free_ports

from .conftest import Beside, gateway_beside, problem
from .hub_process import EVE, PREFIX, wait_until

V1 = "/api/v1"
ACCESS = "access:services!service=scigate"


def storages(beside: Beside, token: str) -> list[str]:
    return [one["name"] for one in beside.client(token).get(f"{V1}/storages").json()["items"]]


def actor_by(beside: Beside, token: str) -> Actor:
    """Whom the gateway takes the owner of a token for, as a page ticket says it."""
    made = beside.client(token).post(f"{V1}/tickets/page").json()
    actor = beside.service.gateway.page_tickets.actor(made["ticket"])
    assert actor is not None
    return actor


def test_a_user_has_their_groups_as_communities(beside: Beside) -> None:
    token, _ = beside.hub.new_token("alice")
    actor = actor_by(beside, token)
    assert (actor.id, actor.communities) == ("alice", {"climate", "writers"})
    assert (actor.roles, actor.curates) == ({Role.READER, Role.USER}, set())
    assert storages(beside, token) == ["climate", "lab"]
    assert beside.client(token).put(f"{V1}/files/climate/a", content=b"x").status_code == 202
    mine = beside.client(token).get(f"{V1}/transfers").json()["items"]
    assert {one["owner"] for one in mine} == {"alice"}


@pytest.mark.parametrize("scheme", ["Bearer", "token"])
def test_both_schemes_are_understood(beside: Beside, scheme: str) -> None:
    token, _ = beside.hub.new_token("alice")
    assert beside.client(token, scheme).get(f"{V1}/status").status_code == 200


def test_a_curator_is_one_of_their_group_only(beside: Beside) -> None:
    actor = actor_by(beside, beside.hub.new_token("bob")[0])
    assert (actor.roles, actor.curates) == ({Role.READER, Role.USER, Role.CURATOR}, {"climate"})


def test_a_reader_looks_and_changes_nothing(beside: Beside) -> None:
    client = beside.client(beside.hub.new_token("rita")[0])
    assert client.get(f"{V1}/storages").status_code == 200
    problem(client.put(f"{V1}/files/lab/a", content=b"x"), 403, "access-denied")
    body = {"files": [{"source": "lab:/a", "destination": "lab:/b"}]}
    problem(client.post(f"{V1}/transfers", json=body), 403, "access-denied")
    ticket = client.post(f"{V1}/tickets/page").json()["ticket"]
    problem(beside.client(ticket).put(f"{V1}/files/lab/a", content=b"x"), 403, "access-denied")
    assert not (beside.folder / "lab" / "a").exists()


def test_an_admin_of_the_gateway_is_who_has_its_scope(beside: Beside) -> None:
    admin, alice = (beside.client(beside.hub.new_token(user)[0]) for user in ("root", "alice"))
    assert admin.get("/metrics").status_code == 200
    problem(alice.get("/metrics"), 403, "access-denied")


def test_without_a_scope_of_ours_there_is_nothing(beside: Beside) -> None:
    told = problem(beside.client(beside.hub.new_token("zoe")[0]).get(f"{V1}/storages"), 403, "access-denied")
    assert "custom:scigate:write" in told["next_step"]


def test_a_token_can_be_restricted(beside: Beside) -> None:
    looks, _ = beside.hub.new_token("alice", ACCESS, "custom:scigate:read")
    assert actor_by(beside, looks).roles == {Role.READER}
    problem(beside.client(looks).put(f"{V1}/files/lab/a", content=b"x"), 403, "access-denied")
    for_something_else, _ = beside.hub.new_token("alice", "custom:scigate:write")
    told = problem(beside.client(for_something_else).get(f"{V1}/storages"), 403, "access-denied")
    assert ACCESS in told["next_step"]


def test_a_service_of_the_hub_is_a_program_of_its_own(beside: Beside) -> None:
    actor = actor_by(beside, beside.hub.program)
    assert (actor.id, actor.communities, actor.roles) == ("service:program", set(), {Role.READER, Role.USER})


@pytest.mark.parametrize("token", ["nonsense", "a.b", "0" * 32, "x" * 600, "é", "a b"])
def test_a_token_that_is_none_is_refused(beside: Beside, token: str) -> None:
    answer = beside.client().get(f"{V1}/storages", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
    problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("name", ["ada@example.org", EVE])
def test_odd_names_own_what_they_make(beside: Beside, name: str) -> None:
    client = beside.client(beside.hub.new_token(name)[0])
    made = client.put(f"{V1}/files/lab/odd", content=b"x", params={"overwrite": "overwrite"}).json()["transfer"]
    assert made["owner"] == name
    assert client.get(f"{V1}/transfers/{made['id']}").status_code == 200
    problem(beside.client(beside.hub.new_token("bob")[0]).get(f"{V1}/transfers/{made['id']}"), 404, "not-found")


def test_a_revoked_token_and_its_tickets_die(beside: Beside) -> None:
    """Within the time that an answer is believed (here a second, never more than 15), tickets within 30 seconds."""
    token, id = beside.hub.new_token("alice")
    client = beside.client(token)
    made = client.post(f"{V1}/tickets/page").json()
    assert 0 < made["expires_in"] <= 30
    beside.hub.ask("DELETE", f"/users/alice/tokens/{id}")
    time.sleep(1.1)
    assert client.get(f"{V1}/status").status_code == 401
    late = client.post(f"{V1}/tickets/page")
    problem(late, 401, "unauthorized")


def test_a_ticket_lasts_from_when_the_hub_was_asked(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it dies with a token that was revoked just after, although the answer is believed a little longer."""
    monkeypatch.setattr(beside.service._hub.parts.oauth, "_believed", 3600.0)
    client = beside.client(beside.hub.new_token("alice")[0])
    first = client.post(f"{V1}/tickets/page").json()
    time.sleep(0.3)
    second = client.post(f"{V1}/tickets/page").json()
    assert second["expires"] == first["expires"]
    assert second["expires_in"] < first["expires_in"]


def test_the_token_of_a_stopped_server_dies(beside: Beside) -> None:
    token = beside.hub.server_token("bob")
    client = beside.client(token)
    assert client.get(f"{V1}/storages").status_code == 200
    assert client.put(f"{V1}/files/lab/from-server", content=b"x").status_code == 202
    beside.hub.stop_server("bob")
    wait_until(lambda: client.get(f"{V1}/status").status_code == 401)


def test_rights_that_are_taken_away_are_gone(beside: Beside) -> None:
    client = beside.client(beside.hub.new_token("alice")[0])
    assert "climate" in [one["name"] for one in client.get(f"{V1}/storages").json()["items"]]
    beside.hub.ask("DELETE", "/groups/climate/users", {"users": ["alice"]})
    try:
        wait_until(lambda: len(client.get(f"{V1}/storages").json()["items"]) == 1)
    finally:
        beside.hub.ask("POST", "/groups/climate/users", {"users": ["alice"]})


def test_webhooks_of_a_hubs_users_are_delivered(beside: Beside) -> None:
    """Although nobody can be asked whether their owner is still a user."""
    client = beside.client(beside.hub.new_token("alice")[0])
    made = client.post(f"{V1}/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["webhook"]
    client.put(f"{V1}/files/lab/told", content=b"x", params={"overwrite": "overwrite"})
    where = f"{V1}/webhooks/{made['id']}"
    wait_until(lambda: client.get(where).json()["state"] == "failing")  # it was tried: nobody listens there
    assert client.get(where).json()["cause"]["code"] != "owner-unknown"
    client.delete(where)


def test_a_ticket_of_the_old_kind_opens_a_socket_too(beside: Beside) -> None:
    """Such a ticket names a user of the settings; that of a hub's user says all by itself."""
    made = beside.client(beside.hub.new_token("alice")[0]).post(f"{V1}/tickets").json()
    actor = beside.service.gateway.page_tickets.actor(made["ticket"])
    assert actor is not None
    assert actor.id == "alice"


def test_the_api_is_found_below_the_prefix_and_without_it(beside: Beside) -> None:
    client = beside.client(beside.hub.new_token("alice")[0])
    made = client.put(f"{V1}/files/lab/prefixed", content=b"x")
    assert made.headers["Location"].startswith(PREFIX + "api/v1/transfers/")
    assert client.get(f"{beside.service.url}{V1}/storages").status_code == 200
    assert client.get(f"{V1}/storages", headers={"Host": "hub.example.org"}).status_code == 200


def test_a_hub_that_is_down_is_no_refusal(beside: Beside, tmp_path: Path) -> None:
    token, _ = beside.hub.new_token("alice")
    port, nobody = free_ports(2)
    with gateway_beside(tmp_path, port, beside.hub, f"http://127.0.0.1:{nobody}/hub/api") as alone:
        answer = alone.client(token).get(f"{V1}/storages")
        told = problem(answer, 503, "hub-unreachable")
        assert (told["retriable"], answer.headers["Retry-After"]) == (True, "5")
        assert token not in answer.text
        assert beside.hub.token not in answer.text
        assert alone.client().get("/healthz").status_code == 200


def test_a_hub_that_does_not_answer_is_not_waited_for_without_end(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_server: int
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    with gateway_beside(tmp_path, 0, beside.hub, f"http://127.0.0.1:{silent_server}/hub/api") as alone:
        problem(alone.client("0" * 32).get(f"{V1}/storages"), 503, "hub-unreachable")


def test_what_is_no_hub_is_told_apart_from_an_unknown_token(beside: Beside, tmp_path: Path) -> None:
    """The address of something else: it answers, but not as a hub."""
    with gateway_beside(tmp_path, 0, beside.hub, f"{beside.hub.url}/health") as wrong:
        problem(wrong.client("0" * 32).get(f"{V1}/storages"), 503, "hub-unreachable")
