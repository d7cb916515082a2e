"""Transfers for later, from Python: the bytes of a file come at once, its delivery begins at its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import Gateway, RequestRefused

HOUR = timedelta(hours=1)
MIB = 1 << 20


@pytest.fixture
def source(gateway_process: Any) -> str:
    folder = gateway_process.files("lab") / "times"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_bytes(b"data")
    return "lab:/times/a"


def test_a_copy_begins_at_its_time(gateway: Gateway, source: str) -> None:
    for patience in (4, 30):  # a machine that stands still for so long is late itself
        when = datetime.now(UTC) + timedelta(seconds=patience)
        handle = gateway.copy(source, f"mem:/times/copied-{patience}", not_before=when, deadline=HOUR)
        if datetime.now(UTC) < when:
            break
    assert (handle.transfer.state, handle.transfer.cause.code) == ("WAITING", "scheduled")
    assert handle.transfer.deadline - when < HOUR
    done = handle.wait(progress=False)
    assert done.finished is not None
    assert done.finished >= when


@pytest.mark.parametrize("size", [100, 9 * MIB])
def test_a_file_is_sent_at_once_and_delivered_later(gateway: Gateway, tmp_path: Path, size: int) -> None:
    local = tmp_path / "run.dat"
    local.write_bytes(bytes(size))
    before = datetime.now(UTC)
    handle = gateway.put(local, f"mem:/times/{size}", not_before=HOUR, deadline=2 * HOUR)
    transfer = gateway.transfer(handle.id).transfer
    assert (transfer.state, transfer.cause.code, transfer.bytes_total) == ("WAITING", "scheduled", size)
    assert before + HOUR <= transfer.not_before <= datetime.now(UTC) + HOUR
    assert abs(transfer.deadline - transfer.not_before - HOUR) < timedelta(minutes=1)
    assert gateway.transfer(handle.id).resume().state == "WAITING"
    handle.cancel()


def test_so_is_a_folder(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(b"data")
    (handle,) = gateway.put(folder, "mem:/times/folder/", not_before=HOUR)
    transfer = gateway.transfer(handle.id).transfer
    assert (transfer.state, transfer.cause.code, transfer.files.waiting) == ("WAITING", "scheduled", 2)
    handle.cancel()


def test_what_is_to_begin_after_its_deadline_is_refused_in_words(gateway: Gateway, tmp_path: Path, source: str) -> None:
    local = tmp_path / "run.dat"
    local.write_bytes(b"data")
    with pytest.raises(RequestRefused, match="not before its deadline"):
        gateway.copy(source, "mem:/times/x", not_before=2 * HOUR, deadline=HOUR)
    with pytest.raises(RequestRefused, match="not before its deadline"):
        gateway.put(local, "mem:/times/x", not_before=2 * HOUR, deadline=HOUR)
    with pytest.raises(RequestRefused, match="more than 7 days"):
        gateway.put(local, "mem:/times/x", not_before=timedelta(days=8))
