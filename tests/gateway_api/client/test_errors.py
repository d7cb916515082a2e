"""Exceptions say what happened and what to do, and carry what the gateway said."""

from __future__ import annotations

import inspect
import json
import pickle
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from scigate.gateway_api.client import (
    Conflict,
    Gateway,
    GatewayFailed,
    GatewayUnreachable,
    InvalidArgument,
    NotConfigured,
    NotFound,
    RequestInvalid,
    errors,
)
from scigate.gateway_api.client.advice import for_people
from scigate.gateway_api.client.arguments import transfer_request
from scigate.gateway_api.client.session import checked, pause_before_retry
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import Cause, TransferFile

REQUEST = httpx.Request("GET", "http://127.0.0.1/api/v1/x")


def answer(problem: Problem, **headers: str) -> httpx.Response:
    return httpx.Response(problem.status, content=json.dumps(problem.as_json()), headers=headers, request=REQUEST)


def test_the_tree_at_the_top_of_the_file_is_complete() -> None:
    classes = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    drawn = {word for line in errors.__doc__.splitlines() for word in line.replace("│", " ").split()[:2]}
    assert classes <= drawn


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (409, Conflict), (412, Conflict), (422, RequestInvalid), (507, GatewayFailed)]
)
def test_a_problem_becomes_the_exception_of_its_status(status: int, kind: type[Exception]) -> None:
    problem = Problem(
        status, "some-code", "What happened.", next_step="Do this.", errors=[{"pointer": "/a", "message": "m"}]
    )
    with pytest.raises(kind) as raised:
        checked(answer(problem))
    error = raised.value
    assert isinstance(error, errors.RequestRefused)
    assert (error.status, error.code, error.title, error.next_step) == (
        status,
        "some-code",
        "What happened.",
        "Do this.",
    )
    assert str(error) == "What happened. /a: m. Do this."


@pytest.mark.parametrize("status", [301, 304])
def test_an_answer_that_is_not_from_a_gateway_is_said_to_be_so(status: int) -> None:
    with pytest.raises(GatewayUnreachable, match="does not look like a SciGate gateway"):
        checked(httpx.Response(status, headers={"Location": "http://elsewhere/?token=s3cret"}, request=REQUEST))


def test_an_error_page_of_a_proxy_is_still_an_error() -> None:
    with pytest.raises(GatewayFailed, match="status 502"):
        checked(httpx.Response(502, content=b"<html>Bad gateway", request=REQUEST))


def refusal(status: int, retriable: bool, retry_after: str = "") -> errors.RequestRefused:
    problem = Problem(status, "c", "t", next_step="n", retriable=retriable)
    with pytest.raises(errors.RequestRefused) as raised:
        checked(answer(problem, **({"Retry-After": retry_after} if retry_after else {})))
    return raised.value


@pytest.mark.parametrize(
    ("error", "repeatable", "again"),
    [
        (httpx.ConnectError("refused"), False, True),  # it was never sent
        (httpx.ReadError("broken"), False, False),  # it may have been done
        (httpx.ReadError("broken"), True, True),
        (httpx.LocalProtocolError("bug"), True, False),
    ],
)
def test_a_broken_connection_is_tried_again_only_when_that_is_safe(
    error: Exception, repeatable: bool, again: bool
) -> None:
    assert (pause_before_retry(error, 0, repeatable) is not None) is again


def test_a_refusal_is_tried_again_only_when_it_says_so() -> None:
    assert pause_before_retry(refusal(503, retriable=True), 0, True) is not None
    assert pause_before_retry(refusal(503, retriable=False), 0, True) is None
    assert pause_before_retry(refusal(409, retriable=True), 0, True) is None
    assert pause_before_retry(refusal(503, retriable=True), 0, False) is None


def test_retry_after_is_obeyed() -> None:
    error = refusal(429, retriable=True, retry_after="7")
    assert error.retry_after == timedelta(seconds=7)
    assert pause_before_retry(error, 0, True) == 7


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("upload-locked", "Ask for the offset, and send one request at a time."),
        ("offset-mismatch", "Ask for the offset (HEAD), and go on from there."),
        ("staging-full", "Go on a little later: ask for the offset (HEAD) and send the rest."),
        ("not-found", "GET /api/v1/uploads show those that you can see."),
        ("not-found", "'scigate ls' and GET /api/v1/storages show those that you can see."),
        ("unauthorized", "Send 'Authorization: Bearer <token>' with the token of your user."),
        ("across-storages", "Submit a transfer, and delete the source when it is DONE."),
        ("too-many", "Finish some, or delete those that are not needed (GET /api/v1/uploads shows them)."),
        ("gone", "Correct it. Then enable the webhook: POST …/enable; what it missed is delivered."),
        ("invalid", "Correct the fields listed in 'errors'; see /docs."),
    ],
)
def test_next_steps_are_for_those_who_write_no_requests(code: str, advice: str) -> None:
    with pytest.raises(errors.RequestRefused) as raised:
        checked(answer(Problem(423, code, "Something.", next_step=advice)))
    assert raised.value.next_step
    assert not re.search("GET|HEAD|POST|Bearer|Submit|offset|request|field", raised.value.next_step)


def test_other_next_steps_are_given_as_they_are() -> None:
    assert for_people("not-found", "Look at the folder above it.") == "Look at the folder above it."


def test_what_is_no_time_and_what_is_no_pair_is_said_to_be_none() -> None:
    with Gateway("http://127.0.0.1:1", "token") as gateway:
        with pytest.raises(InvalidArgument, match=r"'tomorrow' is not a time.*timedelta"):
            gateway.copy("lab:/a", "lab:/b", not_before="tomorrow")
        with pytest.raises(InvalidArgument, match="'lab:/a' is not a pair"):
            gateway.submit(["lab:/a"])  # type: ignore[list-item]


def test_a_reason_has_one_full_stop() -> None:
    with Gateway("http://127.0.0.1:1", "token") as gateway:
        told = gateway._session.explained(httpx.RemoteProtocolError("peer closed it without a response."))
    assert str(told).startswith(
        "The gateway at http://127.0.0.1:1 does not answer: peer closed it without a response. "
    )


def test_each_advice_is_said_once_with_the_files_that_it_is_for() -> None:
    files = [
        failed_file(f"lab:/{name}", f"Do {advice}.") for name, advice in (("a", "this"), ("b", "that"), ("c", "this"))
    ]
    steps = errors._next_steps(None, files).split("\n")  # type: ignore[arg-type]
    assert steps == ["lab:/a, lab:/c: Do this.", "lab:/b: Do that."]
    assert errors._next_steps(None, files[:1]) == "Do this."  # type: ignore[arg-type]


def failed_file(source: str, advice: str) -> TransferFile:
    cause = Cause(code="c", message="It failed.", retriable=False, next_step=advice)
    return TransferFile.model_construct(source=source, cause=cause)


def test_of_many_files_that_were_not_sent_ten_are_named() -> None:
    text = str(errors.FilesNotSent({f"name-{number}": "a link" for number in range(12)}))
    assert (text.count("name-"), "and 2 more." in text) == (10, True)


def test_an_unknown_field_is_named_in_plain_words() -> None:
    with pytest.raises(InvalidArgument, match="there is no field 'colour' here"):
        transfer_request(files=[{"source": "lab:/a", "destination": "lab:/b"}], colour="red")


def test_errors_survive_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(errors.LocalFileError("What.", next_step="Do.")))
    assert (error.message, error.next_step) == ("What.", "Do.")


@pytest.mark.parametrize("token", ["", "two\nlines-s3cret", "s3cret-\u00e9", "s3 cret"])
def test_a_token_that_fits_no_header_is_an_error_that_does_not_show_it(token: str) -> None:
    with pytest.raises(NotConfigured, match="token") as raised:
        Gateway("http://127.0.0.1:1", token)
    assert "s3" not in str(raised.value)


@pytest.mark.parametrize(
    "wrong", [{"overwrite": "nope"}, {"priority": 10**30}, {"label": "x" * 300}, {"label": "\udcff"}, {"files": []}]
)
def test_arguments_that_no_gateway_takes_are_errors_of_ours(wrong: dict[str, Any]) -> None:
    with Gateway("http://127.0.0.1:1", "token") as gateway, pytest.raises(InvalidArgument) as raised:
        gateway.submit(**({"files": [("lab:/a", "lab:/b")]} | wrong))
    assert next(iter(wrong)) in str(raised.value)
    assert "pydantic" not in str(raised.value)


def test_states_that_do_not_exist_are_errors_of_ours() -> None:
    with Gateway("http://127.0.0.1:1", "token") as gateway, pytest.raises(InvalidArgument, match=r"(?i)bogus.*DONE"):
        list(gateway.transfers("bogus"))
