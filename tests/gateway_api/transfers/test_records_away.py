"""Records that cannot be written for a moment are nobody's mistake: the files go on as soon as they can be."""

from __future__ import annotations

from typing import Any

import pytest
from scigate.gateway_api.db.database import DatabaseUnavailable
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers.walker import Walks
from scigate.gateway_api.transfers.work import Work
from scigate.storage_backends.backend import MiB

Lab = Any  # from conftest.py


@pytest.mark.parametrize("size", [1000, 9 * MiB])
@pytest.mark.parametrize("operation", ["move", "move_if_held", "publishing"])
def test_files_are_not_blamed(lab: Lab, monkeypatch: pytest.MonkeyPatch, operation: str, size: int) -> None:
    original, refused = getattr(Work, operation), []

    def refuse(self: Work, *arguments: Any) -> Any:
        if len(refused) < 4:
            refused.append(operation)
            raise DatabaseUnavailable("database or disk is full")
        return original(self, *arguments)

    monkeypatch.setattr(Work, operation, refuse)
    (lab.posix("lab") / "f").write_bytes(b"x" * size)
    out = lab.posix("out")
    lab.start()
    transfer = lab.submit(("lab:/f", "out:/f"))
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert "failure" not in lab.types(transfer), "nothing was wrong with the file"
    assert (out / "f").stat().st_size == size


@pytest.mark.parametrize("operation", ["claim", "_add", "_end"])
def test_listings_go_on(lab: Lab, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    original, refused = getattr(Walks, operation), []

    def refuse(self: Walks, *arguments: Any, **named: Any) -> Any:
        if len(refused) < 4:
            refused.append(operation)
            raise DatabaseUnavailable("database or disk is full")
        return original(self, *arguments, **named)

    monkeypatch.setattr(Walks, operation, refuse)
    (lab.posix("lab") / "folder").mkdir()
    for number in range(3):
        (lab.folder / "lab" / "folder" / f"{number}").write_bytes(b"x")
    out = lab.posix("out")
    lab.start()
    transfer = lab.submit(("lab:/folder/", "out:/"))
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert len(list(out.iterdir())) == 3
