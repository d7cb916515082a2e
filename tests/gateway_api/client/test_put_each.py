"""``put_each``: files from anywhere, each to its own place, as one transfer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import Gateway, InvalidArgument


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(os.fsencode(name) * 1000)
    return [folder / name for name in names]


def test_each_file_arrives_at_its_own_place(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    one, two = files(tmp_path, "one", "two \udcff")
    begun: list[str] = []
    group = gateway.put_each([(one, "lab:/each/a/x"), (two, "lab:/each/b/")], label="both", begun=begun.append)
    assert [handle.id for handle in group.handles] == begun
    assert [transfer.label for transfer in group.wait(progress=False)] == ["both"]
    arrived = gateway_process.files("lab") / "each"
    assert (arrived / "a" / "x").read_bytes() == one.read_bytes()
    assert (arrived / "b" / "two \udcff").read_bytes() == two.read_bytes()


def test_what_cannot_be_sent_is_named(gateway: Gateway, tmp_path: Path) -> None:
    (one,) = files(tmp_path, "one")
    group = gateway.put_each([(one, "lab:/partly/x"), (tmp_path / "none", "lab:/partly/y")])
    assert list(group.refused) == [str(tmp_path / "none")]
    group.handles[0].wait(progress=False)
    assert gateway.stat("lab:/partly/x").size == 3000


@pytest.mark.parametrize("second", ["mem:/x", "lab:/same"])
def test_all_go_to_one_storage_and_none_over_another(gateway: Gateway, tmp_path: Path, second: str) -> None:
    one, two = files(tmp_path, "one", "two")
    with pytest.raises(InvalidArgument, match="destination"):
        gateway.put_each([(one, "lab:/same"), (two, second)])
