"""When a transfer begins and ends, as people ask for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from scigate.gateway_api.resources import FileRequest, FolderToSend, TransferRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.times import KEEPS_TRYING, LATEST, agree
from scigate.gateway_api.uploads import creation
from scigate.gateway_api.uploads.model import NewUpload

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_without_a_wish_it_begins_at_once_and_is_tried_for_a_week() -> None:
    times, wrong = agree(None, None, NOW)
    assert (times.not_before, times.deadline, times.firm, wrong) == (None, NOW + KEEPS_TRYING, False, [])


def test_the_patience_begins_when_the_transfer_does() -> None:
    times, wrong = agree(NOW + HOUR, None, NOW, timedelta(days=1))
    assert (times.not_before, times.deadline, wrong) == (NOW + HOUR, NOW + HOUR + timedelta(days=1), [])
    assert agree(NOW - HOUR, None, NOW)[0].deadline == NOW + KEEPS_TRYING, "its time has been: now"


def test_a_deadline_that_is_named_is_firm() -> None:
    times, wrong = agree(NOW + HOUR, NOW + 2 * HOUR, NOW)
    assert (times.deadline, times.firm, wrong) == (NOW + 2 * HOUR, True, [])


@pytest.mark.parametrize(
    ("not_before", "deadline", "pointer", "said"),
    [
        (None, NOW, "/deadline", "the deadline 2026-05-01 12:00:00 UTC has passed"),
        (NOW + 2 * HOUR, NOW + HOUR, "/not_before", "on 2026-05-01 14:00:00 UTC, which is not before its deadline"),
        (NOW + HOUR, NOW + HOUR, "/not_before", "not before its deadline 2026-05-01 13:00:00 UTC"),
        (NOW + LATEST + HOUR, None, "/not_before", "more than 31 days from now"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    not_before: datetime | None, deadline: datetime | None, pointer: str, said: str
) -> None:
    _, (error,) = agree(not_before, deadline, NOW)
    assert error["pointer"] == pointer
    assert said in error["message"]
    assert error["next_step"].endswith(".")


def test_times_may_have_any_zone_and_without_one_are_utc() -> None:
    there = datetime(2026, 5, 1, 15, tzinfo=timezone(timedelta(hours=2)))
    assert agree(there, None, NOW)[0].deadline == NOW + HOUR + KEEPS_TRYING
    assert agree(datetime(2026, 5, 1, 13), None, NOW)[0].not_before == NOW + HOUR  # noqa: DTZ001 that is what is tried
    assert "13:00:00 UTC" in agree(there, there, NOW)[1][0]["message"]


def test_a_request_without_a_time_has_the_fingerprint_that_it_always_had() -> None:
    """Of keys that were remembered before there were such times."""
    one = TransferRequest(files=[FileRequest(source="a:/f", destination="b:/f")], label="x")
    assert submission.fingerprint(one) == "95c18159f8736203b4fa5b02f865d830d5fdb76cb71df76a1da5a320ae72beff"
    assert submission.fingerprint(one.model_copy(update={"not_before": NOW})) != submission.fingerprint(one)
    folder = FolderToSend.model_validate({"destination": "a:/f/", "files": [{"path": "x", "size": 1}]})
    assert creation.fingerprint(folder) == "84429afd0c884a50690a8560f26196751bcfb55f8097d3d82513a05bfb4698fe"
    assert creation.fingerprint(folder.model_copy(update={"deadline": NOW})) != creation.fingerprint(folder)
    upload = NewUpload(length=1, destination="a:/f")
    assert creation.fingerprint(upload) == "0f61981a9b5c598d9de560511f79195e19e8d0798cbb480150861225d3830f3b"
    assert creation.fingerprint(NewUpload(length=1, destination="a:/f", not_before=NOW)) != creation.fingerprint(upload)
