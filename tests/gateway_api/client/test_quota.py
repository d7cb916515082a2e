"""Uploads and the room that the gateway has for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import Gateway, RequestInvalid


@pytest.fixture
def gateway(tmp_path: Path, start_gateway: Callable[..., Any]) -> Iterator[Gateway]:
    """A client of a gateway with room for one MiB of uploads."""
    (tmp_path / "gateway").mkdir()
    quota = '\n[limits]\nstaging_quota = "1 MiB"\n'
    with (
        start_gateway(tmp_path / "gateway", quota) as running,
        Gateway(running.url, running.environment()["SCIGATE_TOKEN"]) as client,
    ):
        yield client


def test_what_can_never_fit_is_said_before_it_is_sent(gateway: Gateway, tmp_path: Path) -> None:
    large, sent = tmp_path / "large", []
    with large.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(RequestInvalid, match=r"limits\.staging_quota"):
        gateway.put(large, "lab:/large", sent=sent.append)
    assert sent == []


def test_a_folder_larger_than_the_quota_waits_for_room(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(6):
        (folder / str(number)).write_bytes(bytes([number]) * 400_000)
    sent = gateway.put(folder, "lab:/many/")
    sent.wait()
    assert {entry.name for entry in gateway.ls("lab:/many/")} == {"0", "1", "2", "3", "4", "5"}
