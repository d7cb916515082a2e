"""Each error says by itself what is to be done about it."""

from __future__ import annotations

import inspect
import pickle
from datetime import timedelta

import pytest
from scigate.storage_backends import errors
from scigate.storage_backends.errors import ErrorKind, Permanent, StorageError, Throttled

KINDS = {
    "unreachable": ErrorKind.TRANSIENT,
    "throttled": ErrorKind.THROTTLED,
    "credential-refused": ErrorKind.CREDENTIAL,
    "no-space": ErrorKind.SPACE,
    "truncated": ErrorKind.INTEGRITY,
    "digest-mismatch": ErrorKind.INTEGRITY,
    "permanent": ErrorKind.PERMANENT,
    "not-found": ErrorKind.PERMANENT,
    "already-exists": ErrorKind.PERMANENT,
    "access-denied": ErrorKind.PERMANENT,
    "invalid-name": ErrorKind.PERMANENT,
    "not-regular": ErrorKind.PERMANENT,
    "too-large": ErrorKind.PERMANENT,
    "source-changed": ErrorKind.PERMANENT,
    "fenced": ErrorKind.PERMANENT,
    "unsupported": ErrorKind.PERMANENT,
    "misconfigured": ErrorKind.PERMANENT,
    "storage-error": ErrorKind.TRANSIENT,
}
ALL = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, StorageError)]


def test_codes_and_kinds_are_what_the_api_and_the_database_know() -> None:
    assert {error("x").code: error.kind for error in ALL} == KINDS


@pytest.mark.parametrize("error", ALL)
def test_says_what_happened_to_what_and_what_to_do(error: type[StorageError]) -> None:
    raised = error("it did not work", path="a/b")
    assert (str(raised), raised.message, raised.path) == ("it did not work", "it did not work", "a/b")
    assert raised.next_step.endswith(".")
    assert error.__doc__


@pytest.mark.parametrize("error", [error for error in ALL if error is not Throttled])
def test_another_next_step_is_of_this_error_only(error: type[StorageError]) -> None:
    assert error("x", next_step="Ask Ada.").next_step == "Ask Ada."
    assert error("x").next_step != "Ask Ada."


def test_only_permanent_errors_are_permanent() -> None:
    assert {error for error in ALL if error.kind is ErrorKind.PERMANENT} == {
        error for error in ALL if issubclass(error, Permanent)
    }


def test_throttled_says_when_to_come_back() -> None:
    assert Throttled("slow down").retry_after is None
    assert Throttled("slow down", retry_after=timedelta(seconds=3)).retry_after == timedelta(seconds=3)


@pytest.mark.parametrize("error", ALL)
def test_survives_the_way_between_processes(error: type[StorageError]) -> None:
    raised = pickle.loads(pickle.dumps(error("it did not work", path="a/b")))
    assert (type(raised), raised.message, raised.path, raised.code) == (
        error,
        "it did not work",
        "a/b",
        error("x").code,
    )


def test_the_tree_at_the_top_of_the_file_names_every_error() -> None:
    assert [error.__name__ for error in ALL if error.__name__ not in (errors.__doc__ or "")] == []
