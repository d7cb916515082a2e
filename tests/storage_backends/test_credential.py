"""A secret is shown nowhere: each way of printing a value is tried on each type that holds one."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from scigate.storage_backends.credential import AccessKey, BearerToken, Secret

CANARY = "canary-9f2c1e"


class Settings(BaseModel):
    secret: Secret
    name: str = "shown"


def holders() -> dict[str, Any]:
    secret = Secret(CANARY)
    return {
        "secret": secret,
        "access-key": AccessKey("AKIA", secret, secret),
        "bearer-token": BearerToken(secret),
        "settings": Settings(secret=secret),
        "list": [secret],
        "dict": {"a": secret, secret: "b"},
    }


WAYS = {
    "repr": repr,
    "str": str,
    "format": lambda value: f"{value} {value!r} {value!s} {value!a}",
    "percent": lambda value: "%s %r" % ((value,) * 2),
    "pprint": pprint.pformat,
    "json": lambda value: json.dumps(value, default=repr, skipkeys=True),
    "bytes": lambda value: repr(str(value).encode()),
    "fields": lambda value: repr([getattr(value, name, None) for name in ("secret", "token", "id", "name")]),
    "error": lambda value: "".join(traceback.format_exception(ValueError(value))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("holder", holders())
def test_never_shown(holder: str, way: str) -> None:
    shown = WAYS[way](holders()[holder])
    assert shown
    assert CANARY not in shown


def test_revealed_only_when_asked() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert str(Secret(CANARY)) == "***"


@pytest.mark.parametrize("mode", ["python", "json"])
def test_not_dumped_by_pydantic(mode: str) -> None:
    settings = Settings(secret=Secret(CANARY))
    assert CANARY not in repr(settings.model_dump(mode=mode))
    assert CANARY not in settings.model_dump_json()
    assert json.loads(settings.model_dump_json())["secret"] == "***"


@pytest.mark.parametrize("holder", ["secret", "access-key", "bearer-token", "settings", "list"])
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_never_pickled(holder: str, protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(holders()[holder], protocol)


def test_not_copied_into_other_processes_by_deepcopy() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        copy.deepcopy(Secret(CANARY))


def test_not_in_a_traceback_that_shows_the_line() -> None:
    def use(secret: Secret) -> None:
        raise RuntimeError(f"could not log in with {secret}")

    with pytest.raises(RuntimeError) as caught:
        use(Secret(CANARY))
    shown = "".join(traceback.format_exception(caught.value)) + "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    assert CANARY not in shown


def test_not_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("t").warning("%s %r %s", Secret(CANARY), AccessKey("AKIA", Secret(CANARY)), [Secret(CANARY)])
    assert "***" in caplog.text
    assert CANARY not in caplog.text


def test_compared_without_being_shown() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    mine, other = Secret(CANARY), Secret("other")
    with pytest.raises(AssertionError) as caught:
        assert mine == other
    assert CANARY not in str(caught.value)


def test_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGATE_TEST_SECRET", CANARY)
    assert Settings(secret={"env": "SCIGATE_TEST_SECRET"}).secret.reveal() == CANARY


def test_taken_from_a_file_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    assert Settings(secret={"file": str(tmp_path / "secret")}).secret.reveal() == CANARY


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("written-down", "never in the settings themselves"),
        ({}, "never in the settings themselves"),
        ({"env": "A", "file": "b"}, "never in the settings themselves"),
        ({"value": "x"}, "never in the settings themselves"),
        (None, "never in the settings themselves"),
        (5, "never in the settings themselves"),
        ({"env": "SCIGATE_TEST_NOT_SET"}, "SCIGATE_TEST_NOT_SET is not set"),
        ({"file": "/nowhere/secret"}, "cannot be read: No such file"),
    ],
)
def test_refused_in_words(value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(secret=value)


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(ValidationError, match="is empty"):
        Settings(secret={"file": str(tmp_path / "secret")})


def test_an_empty_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGATE_TEST_SECRET", "")
    with pytest.raises(ValidationError, match="is not set"):
        Settings(secret={"env": "SCIGATE_TEST_SECRET"})
