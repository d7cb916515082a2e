"""Who a user of the hub is here: the model that the hub answers, as an actor."""

from __future__ import annotations

from typing import Any

import pytest
from scigate.gateway_api.actor import Role
from scigate.gateway_api.auth.hub_user import actor_of
from scigate.gateway_api.problems import Problem

ACCESS = "access:services!service=scigate"
READ, WRITE, CURATE, ADMIN = (f"custom:scigate:{right}" for right in ("read", "write", "curate", "admin"))


def model(*scopes: str, **more: Any) -> dict[str, Any]:
    return {"name": "alice", "kind": "user", "groups": ["climate", "bio"], "admin": False, "scopes": [*scopes], **more}


def test_a_scientist() -> None:
    actor = actor_of(model(ACCESS, WRITE, READ), "scigate", 7.0)
    assert (actor.id, actor.name, actor.proof, actor.expires) == ("alice", "alice", "hub", 7.0)
    assert actor.communities == {"climate", "bio"}
    assert actor.roles == {Role.READER, Role.USER}
    assert (actor.may_write, actor.is_admin, actor.curates) == (True, False, frozenset())


@pytest.mark.parametrize(
    ("scopes", "roles", "curates"),
    [
        ((READ,), {Role.READER}, set()),
        ((WRITE,), {Role.READER, Role.USER}, set()),
        ((f"{CURATE}!group=climate",), {Role.READER, Role.CURATOR}, {"climate"}),
        ((f"{CURATE}!group=climate", f"{CURATE}!group=art"), {Role.READER, Role.CURATOR}, {"climate", "art"}),
        ((CURATE,), {Role.READER, Role.CURATOR}, {"climate", "bio"}),
        ((WRITE, f"{CURATE}!group=bio"), {Role.READER, Role.USER, Role.CURATOR}, {"bio"}),
        ((ADMIN,), {Role.READER, Role.ADMIN}, set()),
        ((f"{WRITE}!user=alice",), {Role.READER, Role.USER}, set()),
        ((f"{WRITE}!user",), {Role.READER, Role.USER}, set()),
    ],
)
def test_scopes_give_roles(scopes: tuple[str, ...], roles: set[Role], curates: set[str]) -> None:
    actor = actor_of(model(ACCESS, *scopes), "scigate", 7.0)
    assert (actor.roles, actor.curates) == (roles, curates)


@pytest.mark.parametrize(
    "scopes",
    [
        (),
        ("self", "admin:users", "inherit"),
        (f"{WRITE}!user=bob",),
        (f"{WRITE}!group=climate",),
        (f"{ADMIN}!service=x",),
        (f"{CURATE}!user=alice",),
        ("custom:scigate:writer", "custom:scigate", "custom:other:write"),
    ],
)
def test_other_scopes_give_nothing_not_even_to_an_admin_of_the_hub(scopes: tuple[str, ...]) -> None:
    with pytest.raises(Problem) as refused:
        actor_of(model(ACCESS, *scopes, admin=True), "scigate", 7.0)
    assert (refused.value.status, refused.value.code) == (403, "access-denied")
    assert "custom:scigate:write" in refused.value.next_step


@pytest.mark.parametrize(
    "access", ["", "access:services!service=other", "access:servers", "access:services!user=alice"]
)
def test_a_token_for_something_else_opens_nothing(access: str) -> None:
    with pytest.raises(Problem) as refused:
        actor_of(model(access, WRITE), "scigate", 7.0)
    assert refused.value.status == 403
    assert ACCESS in refused.value.next_step


def test_a_token_for_all_services_opens_this_one() -> None:
    assert actor_of(model("access:services", READ), "scigate", 7.0).roles == {Role.READER}


def test_a_service_is_not_the_user_of_its_name() -> None:
    program = model(ACCESS, WRITE, kind="service")
    del program["groups"]
    assert actor_of(program, "scigate", 7.0).id == "service:alice"
    with pytest.raises(Problem, match="cannot be recorded"):
        actor_of(model(ACCESS, WRITE, name="service:alice"), "scigate", 7.0)


@pytest.mark.parametrize(
    "name", ["ada@example.org", "Ada Lovelace", "ädä", "a/../b", "<b>ada</b>", "*", "community:bio"]
)
def test_odd_names_are_names(name: str) -> None:
    assert actor_of(model(ACCESS, WRITE, name=name), "scigate", 7.0).id == name


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "a" * 201, "\ud800", "a\u202eb"])
def test_names_that_cannot_be_recorded_or_would_deceive_are_refused(name: str) -> None:
    with pytest.raises(Problem) as refused:
        actor_of(model(ACCESS, WRITE, name=name), "scigate", 7.0)
    assert refused.value.status == 403
