"""What Python knows of what was sent from the panel."""

from __future__ import annotations

from typing import Any

import pytest
from scigate.gateway_api.client import TransferGroup
from scigate.widgets import upload
from scigate.widgets.portlets.upload import NothingSent, Upload

from .conftest import TOKEN, Running


@pytest.fixture
def known(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The kernel knows the gateway."""
    monkeypatch.setenv("SCIGATE_URL", running.url)
    monkeypatch.setenv("SCIGATE_TOKEN", TOKEN)
    return running


def test_before_anything_is_sent_it_says_what_to_do() -> None:
    panel = upload()
    with pytest.raises(NothingSent, match="press Send, and run this cell again"):
        panel.transfer  # noqa: B018 looking is what raises
    panel.state = "failed"
    with pytest.raises(NothingSent, match="the panel says why"):
        panel.transfer  # noqa: B018


def test_the_transfer_of_what_was_sent_can_be_waited_for(known: Running) -> None:
    panel, seen = upload(), []
    panel.observe(lambda change: seen.append(change.new), "transfer_id")
    id = known.send("lab/from-a-panel.bin")
    panel.set_state({"transfer_ids": [id], "state": "received", "progress": 1})
    assert seen == [id]
    assert panel.transfer.wait(60, progress=False).id == id
    assert (known.folder / "lab/from-a-panel.bin").read_bytes() == b"some bytes"


def test_a_large_folder_is_a_group(known: Running) -> None:
    panel = upload()
    ids = [known.send(f"lab/group/{number}") for number in range(2)]
    panel.set_state({"transfer_ids": ids})
    transfer: Any = panel.transfer
    assert isinstance(transfer, TransferGroup)
    assert [one.id for one in transfer.wait(60, progress=False)] == ids


def test_nothing_but_ids_state_and_a_fraction_is_saved(known: Running) -> None:
    panel = upload()
    panel.set_state({"transfer_ids": [known.send("lab/saved.bin")], "state": "received"})
    assert panel.transfer.id
    assert TOKEN not in repr(panel.get_state())
    assert set(Upload.class_own_traits(sync=True)) == {"transfer_ids", "state", "progress"}
