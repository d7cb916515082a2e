"""What is shown while a transfer goes on."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from scigate.gateway_api.client.handle import TransferHandle, away, summary
from scigate.gateway_api.client.progress import Lines, line, printable, size, watching
from scigate.gateway_api.resources import Cause, Counts, Overwrite, Transfer, TransferState, Verify


def transfer(**changes: Any) -> Transfer:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    usual: dict[str, Any] = {
        "id": "t1",
        "owner": "ada",
        "label": None,
        "state": TransferState.ACTIVE,
        "overwrite": Overwrite.FAIL,
        "verify": Verify.AUTO,
        "priority": 5,
        "created": now,
        "finished": None,
        "deadline": now,
        "listing": False,
        "files": Counts(total=4, done=1),
        "bytes_total": 4 << 30,
        "bytes_done": 1 << 30,
        "rate": 100 * 2**20,
        "eta_seconds": 61.4,
        "proof": None,
        "cause": None,
    }
    return Transfer(**(usual | changes))


def test_the_numbers_of_a_transfer() -> None:
    assert line(transfer()) == "1.0 GiB of 4.0 GiB · 1 of 4 files · 100 MiB/s · 0:01:01 left"


def test_what_is_not_known_is_not_said() -> None:
    assert line(transfer(listing=True, rate=None, eta_seconds=None)) == "1.0 GiB of ? · 1 of 4 files"


def test_what_it_waits_for_is_said() -> None:
    cause = Cause(code="no-space", message="The storage is full\x1b[2J", retriable=True, next_step="Free space.")
    shown = line(transfer(state=TransferState.WAITING, cause=cause, rate=None, eta_seconds=None))
    assert shown.endswith("The storage is full\\x1b[2J")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (5 << 50, "5120 TiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_names_cannot_steer_a_terminal() -> None:
    assert printable("ok ü/\n\x1b]0;x\x07\udcff") == "ok ü/\\n\\x1b]0;x\\x07\\udcff"


def test_lines_are_written_when_the_state_changes_not_at_every_look() -> None:
    stream = io.StringIO()
    show = Lines(stream)
    for state in (TransferState.QUEUED, TransferState.ACTIVE, TransferState.ACTIVE, TransferState.DONE):
        show(transfer(state=state))
    assert [text.split()[0] for text in stream.getvalue().splitlines()] == ["QUEUED", "ACTIVE", "DONE"]


def test_a_line_is_not_said_twice_however_long_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.gateway_api.client.progress.BETWEEN_LINES", -1.0)
    stream = io.StringIO()
    show = Lines(stream)
    for done in (1, 1, 1, 2, 2):
        show(transfer(bytes_done=done))
    assert len(stream.getvalue().splitlines()) == 2


def test_without_progress_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(False) as show:
        show(transfer())
    assert capsys.readouterr() == ("", "")


def test_while_the_gateway_is_away_no_rate_is_shown_but_that_it_is_tried_again() -> None:
    text = line(away(transfer(rate=1e6, eta_seconds=5)))
    assert "does not answer; trying again" in text
    assert "/s" not in text


def test_a_group_with_a_failure_does_not_look_done() -> None:
    ended = [TransferHandle(None, transfer(state=state)) for state in ("DONE", "FAILED", "DONE")]
    assert summary(ended).state == "FAILED"
    assert summary([*ended, TransferHandle(None, transfer(state="WAITING"))]).state == "WAITING"
