"""Users of a file: passwords, groups, and how they get there."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from scigate.hub_config.accounts import Account, Accounts, AccountsError, hashed, matches
from scigate.hub_config.authenticator import FileAuthenticator
from scigate.hub_config.users import users


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


def _run(path: Path, *words: str, typed: str = "") -> Any:
    return CliRunner().invoke(users, ["--file", str(path), *words], input=typed)


def test_passwords_are_kept_as_salted_hashes(path: Path) -> None:
    made = _run(path, "add", "ada", "--group", "vo-climate", "--group", "curators", "--generate")
    password = made.stdout.strip()
    accounts = Accounts(path)
    assert accounts.proven("ada", password) == accounts.find("ada")
    assert accounts.proven("ada", password + "x") is None
    assert accounts.proven("nobody", "") is None
    assert password not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert hashed(password) != hashed(password)
    assert _run(path, "list").stdout == "ada: vo-climate, curators\n"


def test_a_password_is_asked_twice_and_not_too_short(path: Path) -> None:
    assert _run(path, "add", "ada", typed="correct horse\ncorrect horse\n").exit_code == 0
    assert _run(path, "password", "ada", typed="short\nshort\n").exit_code == 2
    assert _run(path, "password", "ada", typed="battery staple\nbattery staple\n").exit_code == 0
    found = Accounts(path).find("ada")
    assert found is not None
    assert matches("battery staple", found.password)
    assert _run(path, "remove", "ada").exit_code == 0
    assert Accounts(path).all() == {}
    with pytest.raises(AccountsError, match="there is no user 'ada'"):
        Accounts(path).remove("ada")


def test_a_file_that_cannot_be_trusted_is_refused(path: Path) -> None:
    Accounts(path).add("ada", Account(hashed("x" * 8)))
    path.chmod(0o644)
    with pytest.raises(AccountsError, match="others can read"):
        Accounts(path).find("ada")
    path.chmod(0o600)
    for text in ("[]", "{", '{"ada": {}}', '{"ada": {"password": "plain"}}', '{"ada": {"password": "scrypt$00$00"}}'):
        path.write_text(text)
        with pytest.raises(AccountsError, match="no file of users"):
            Accounts(path).find("ada")


def test_a_failed_change_leaves_the_file_as_it_was(path: Path) -> None:
    Accounts(path).add("ada", Account(hashed("x" * 8)))
    before = path.read_text()
    with pytest.raises(AccountsError):
        Accounts(path).change("bo", admin=True)
    assert path.read_text() == before
    assert sorted(os.listdir(path.parent)) == [".users.json.lock", "users.json"]


def test_the_authenticator_tells_the_hub_groups_and_follows_the_file(path: Path) -> None:
    accounts = Accounts(path)
    accounts.add("ada", Account(hashed("correct horse"), ("vo",), display_name="Ada L."))
    authenticator = FileAuthenticator(users_file=str(path))
    sign_in = authenticator.authenticate(None, {"username": "Ada", "password": "correct horse"})
    model = asyncio.run(sign_in)
    assert model == {"name": "ada", "groups": ["vo"], "admin": False, "user_info": {"displayName": "Ada L."}}
    assert asyncio.run(authenticator.authenticate(None, {"username": "ada", "password": "wrong"})) is None
    assert authenticator.manage_groups
    assert authenticator.check_allowed("ada")

    class User:
        name = "ada"

    accounts.change("ada", groups=("vo", "curators"))
    refreshed = asyncio.run(authenticator.refresh_user(User()))
    assert isinstance(refreshed, dict)
    assert refreshed["groups"] == ["vo", "curators"]
    accounts.remove("ada")
    assert asyncio.run(authenticator.refresh_user(User())) is False
    assert not authenticator.check_allowed("ada")
    assert json.loads(path.read_text()) == {}


def test_who_is_no_longer_an_admin_of_the_file_is_none_at_the_hub(path: Path) -> None:
    """For the hub None would be: as it was."""
    accounts = Accounts(path)
    for name in ("ada", "bo"):
        accounts.add(name, Account(hashed("correct horse"), admin=True))
    authenticator = FileAuthenticator(users_file=str(path), admin_users={"bo"})

    def is_admin(user: str) -> Any:
        found = asyncio.run(authenticator.refresh_user(SimpleNamespace(name=user)))
        assert isinstance(found, dict)
        return found["admin"]

    assert is_admin("ada") is True
    accounts.change("ada", admin=False)
    accounts.change("bo", admin=False)
    assert is_admin("ada") is False
    assert is_admin("bo") is True, "the configuration says so"
