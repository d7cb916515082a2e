"""Which of the drafts that earlier attempts left is gone on with."""

from __future__ import annotations

from dataclasses import replace

from scigate.gateway_api.resources import FileState, Overwrite, Verify
from scigate.gateway_api.transfers.ledger import Held
from scigate.gateway_api.transfers.mover import adoptable
from scigate.gateway_api.transfers.scheduler import Lane
from scigate.gateway_api.transfers.tasks import OldDraft, Task
from scigate.storage_backends.backend import Entry

ENTRY = Entry("f", size=100, version="v")
NEVER_BEGUN = OldDraft(3, "t.1.3", None, None, None, 3.0)
NEWEST = OldDraft(2, "t.1.2", "ref 2", None, 10, 2.0)
OLDEST = OldDraft(1, "t.1.1", "ref 1", None, 10, 1.0)
TASK = Task(
    Held(1, 1, FileState.CLAIMED, 4, 100, 50), "t", Lane(1, "ada", "a", "b"), "a", "f", "b", "f", Overwrite.FAIL,
    Verify.AUTO, "v", None, {}, adoptable=True, old_drafts=(NEVER_BEGUN, NEWEST, OLDEST),
)  # fmt: skip


def test_an_attempt_that_died_before_its_draft_does_not_cost_the_one_before_it() -> None:
    """Of an upload whose first bytes have made way, nothing could be begun anew."""
    assert adoptable(TASK, ENTRY) is NEWEST


def test_nothing_is_gone_on_with_of_another_source_or_while_somebody_may_write_to_it() -> None:
    assert adoptable(TASK, replace(ENTRY, version="w")) is None
    assert adoptable(TASK, replace(ENTRY, size=101)) is None
    assert adoptable(replace(TASK, adoptable=False), ENTRY) is None
    assert adoptable(replace(TASK, old_drafts=(NEVER_BEGUN,)), ENTRY) is None
    ruled_out = replace(NEWEST, block_length=None)
    assert adoptable(replace(TASK, old_drafts=(NEVER_BEGUN, ruled_out)), ENTRY) is None
