"""Passwords cannot be guessed fast, and who guesses keeps nobody out of a browser that they have signed in with."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scigate.hub_config import guessing as guessing_module
from scigate.hub_config.accounts import Account, Accounts, hashed
from scigate.hub_config.authenticator import FileAuthenticator, TooManyTries
from scigate.hub_config.guessing import Guessing, Limit, TooMany, Tries
from scigate.hub_config.testing import Hub

from .conftest import TRY_EVERY


@pytest.fixture(autouse=True)
def _standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still here: on a slow machine one more try would be allowed meanwhile."""
    monkeypatch.setattr(guessing_module, "time", SimpleNamespace(monotonic=lambda: 100.0))


def test_a_key_has_so_many_tries_and_then_one_each_time() -> None:
    tries, limits = Tries(), {"name:ada": Limit(3, 30.0)}
    assert [tries.take(limits, 100.0) for _ in range(3)] == [0, 0, 0]
    assert tries.take(limits, 100.0) == pytest.approx(30)
    assert tries.take({"name:bo": Limit(3, 30.0)}, 100.0) == 0
    assert tries.take(limits, 130.0) == 0
    assert tries.take(limits, 130.0) > 0
    assert [tries.take(limits, 10_000.0) for _ in range(4)] == [0, 0, 0, pytest.approx(30)], "no more are saved up"


def test_what_is_refused_for_one_key_costs_no_other() -> None:
    tries, one, two = Tries(), {"name:ada": Limit(1, 30.0)}, {"address:x": Limit(2, 3.0)}
    assert tries.take(one | two, 0.0) == 0
    assert [tries.take(one | two, 0.0) for _ in range(5)] == [30.0] * 5
    assert tries.take(two, 0.0) == 0


def test_a_right_password_costs_nothing() -> None:
    tries, limits = Tries(), {"name:ada": Limit(2, 30.0)}
    for _ in range(100):
        assert tries.take(limits, 0.0) == 0
        tries.give_back(limits)


def test_memory_is_bounded_and_who_is_limited_most_stays_so() -> None:
    tries, often = Tries(most=100), {"name:ada": Limit(5, 30.0)}
    for _ in range(5):
        tries.take(often, 0.0)
    for number in range(10_000):
        tries.take({f"name:{number}": Limit(5, 30.0)}, 0.0)
        assert len(tries) <= 100
    assert tries.take(often, 0.0) > 0
    tries.take({"name:x": Limit(5, 30.0)}, 1000.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"), ("10.0.0.1", "::ffff:10.0.0.1"), ("fe80::1%eth0", "fe80::2%eth0")],
)
def test_addresses_of_one_network_count_as_one(first: str, second: str) -> None:
    guessing = Guessing(of_user=100, of_address=2)
    guessing.admit("a", first, None)
    guessing.admit("b", second, None)
    with pytest.raises(TooMany):
        guessing.admit("c", first, None)
    guessing.admit("c", "2001:db8:1:3::1", None)


def test_only_so_many_strangers_wait_and_known_browsers_do_not_wait_for_them() -> None:
    """Each try takes memory and time."""
    guessing = Guessing(of_user=10, of_address=10_000, most_waiting=5)
    admitted = [guessing.admit(str(number), "10.0.0.1", None) for number in range(5)]
    with pytest.raises(TooMany):
        guessing.admit("ada", "10.0.0.2", None)
    known = guessing.admit("ada", "10.0.0.2", "browser-of-ada")
    assert known.pool is not admitted[0].pool
    guessing.done(admitted[0], right=False)
    guessing.admit("ada", "10.0.0.2", None)


@pytest.fixture
def authenticator(tmp_path: Path) -> FileAuthenticator:
    path = tmp_path / "users.json"
    Accounts(path).add("ada", Account(hashed("correct horse")))
    return FileAuthenticator(users_file=str(path), tries_of_user=3)


def _tried(authenticator: FileAuthenticator, name: str, password: str) -> Any:
    return asyncio.run(authenticator.authenticate(None, {"username": name, "password": password}))


def test_who_is_not_there_is_limited_as_who_is(authenticator: FileAuthenticator) -> None:
    for name in ("ada", "nobody"):
        assert [_tried(authenticator, name, "wrong") for _ in range(3)] == [None] * 3
        with pytest.raises(TooManyTries) as refused:
            _tried(authenticator, name.upper(), "correct horse")
        assert refused.value.status_code == 429
        assert 0 < int(refused.value.headers["Retry-After"]) <= 30
        assert "Try again in" in refused.value.jupyterhub_message


def test_tries_at_once_are_counted_before_they_are_answered(authenticator: FileAuthenticator) -> None:
    async def many() -> list[Any]:
        data = {"username": "ada", "password": "wrong"}
        return await asyncio.gather(
            *(authenticator.authenticate(None, data) for _ in range(20)), return_exceptions=True
        )

    others = set(threading.enumerate())
    answers = asyncio.run(many())
    assert sum(answer is None for answer in answers) == 3
    assert sum(isinstance(answer, TooManyTries) for answer in answers) == 17
    assert sum(thread.name.startswith("passwords") for thread in set(threading.enumerate()) - others) <= 3


def test_a_form_without_its_fields_is_a_wrong_password(authenticator: FileAuthenticator) -> None:
    assert asyncio.run(authenticator.authenticate(None, {})) is None


def test_guesses_at_a_hub_are_refused_and_a_browser_that_is_known_is_let_in(hub: Hub) -> None:
    """Also with forged addresses: the proxy says who asks."""
    hub.add_user("eve")
    with hub.signed_in("eve") as known, hub.client(base_url=hub.url) as stranger:
        stranger.get("hub/login")

        def sign_in(password: str, address: str) -> Any:
            form = {"username": "eve", "password": password, "_xsrf": stranger.cookies["_xsrf"]}
            forged = {"X-Forwarded-For": address, "X-Real-Ip": address}
            return stranger.post("hub/login", data=form, headers=forged)

        wrong, refused = 0, sign_in("wrong", "10.1.2.0")
        while refused.status_code == 403:
            wrong += 1
            refused = sign_in(f"wrong-{wrong}", f"10.1.2.{wrong}")
        assert wrong == 10
        assert refused.status_code == 429
        assert sign_in("wrong", "10.1.2.99").status_code == 429
        refused = sign_in(hub.passwords["eve"], "10.1.2.3")
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= TRY_EVERY
        assert "Try again in" in refused.text
        kept = [cookie for cookie in known.cookies.jar if cookie.name == "scigate-known-browser"]
        assert [(cookie.path, cookie.has_nonstandard_attr("HttpOnly")) for cookie in kept] == [("/hub/", True)]
        known.get("hub/logout")
        known.get("hub/login")
        form = {"username": "eve", "password": hub.passwords["eve"], "_xsrf": known.cookies["_xsrf"]}
        answer = known.post("hub/login", params={"next": "/hub/home"}, data=form)
        assert answer.status_code == 200
        assert answer.url.path == "/hub/home"
