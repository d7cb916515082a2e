"""Who may do what: pure decisions."""

from __future__ import annotations

import pytest
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.policy import check_admin, check_storage, check_writes, may_use, owner_seen
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.settings import StorageSection

ADA = Actor("ada", "ada", frozenset({"h3a"}))
BO = Actor("bo", "bo")
RITA = Actor("rita", "rita", roles=frozenset({Role.READER, Role.CURATOR, Role.ADMIN}))
ROOT = Actor("root", "root", roles=frozenset({Role.USER, Role.ADMIN}))


def storage(*users: str, read_only: bool = False) -> StorageSection:
    return StorageSection(type="memory", users=users, read_only=read_only)


@pytest.mark.parametrize(
    ("users", "ada", "bo"),
    [
        (("*",), True, True),
        (("ada",), True, False),
        (("community:h3a",), True, False),
        (("h3a",), False, False),
        (("community:ada",), False, False),
        (("community:h3",), False, False),
        ((), False, False),
        (("bo", "community:h3a"), True, True),
    ],
)
def test_users_of_a_storage(users: tuple[str, ...], ada: bool, bo: bool) -> None:
    section = storage(*users)
    assert (may_use(ADA, section), may_use(BO, section), may_use(ROOT, section)) == (ada, bo, True)


def test_a_user_who_is_called_like_a_community_is_not_in_it() -> None:
    imposter = Actor("community:h3a", "x")
    assert not may_use(imposter, storage("community:h3a"))


def test_refusals() -> None:
    check_storage(ADA, "s", storage("*"), write=True)
    check_storage(ADA, "s", storage("*", read_only=True), write=False)
    for actor, section, write, status in [
        (ADA, None, False, 404),
        (BO, storage("ada"), False, 404),
        (BO, storage("ada", read_only=True), True, 404),
        (ROOT, storage("*", read_only=True), True, 403),
    ]:
        with pytest.raises(Problem) as raised:
            check_storage(actor, "s", section, write=write)
        assert raised.value.status == status


def test_admins() -> None:
    check_admin(ROOT)
    with pytest.raises(Problem) as raised:
        check_admin(ADA)
    assert raised.value.status == 403
    assert (owner_seen(ADA), owner_seen(ROOT)) == ("ada", None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_whoever_may_only_look_looks(method: str) -> None:
    check_writes(RITA, method)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MKCOL", ""])
def test_whoever_may_only_look_changes_nothing(method: str) -> None:
    check_writes(ADA, method)
    check_writes(RITA, method, harmless=True)
    with pytest.raises(Problem) as refused:
        check_writes(RITA, method)
    assert (refused.value.status, refused.value.code) == (403, "access-denied")
