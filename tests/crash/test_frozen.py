"""A gateway that is stopped for longer than its lease, and wakes up, finds its work taken over and harms nothing."""

from __future__ import annotations

from collections.abc import Callable

from .run import Result

KINDS = ["large", "folder", "overwrite", "small", "folder", "pull", "inside", "large", "paused", "cancelled", "large"]
SENT = ["sent", "sent_in_parts", "ended", "sent", "sent_over", "ended", "sent", "sent_in_parts", "large"]


def test_one_that_wakes_up_is_fenced(crash: Callable[..., Result], new_database: Callable[[], str], seed: int) -> None:
    result = crash(seed, 0, freezes=2, database=new_database(), kinds=KINDS)
    assert (result.violations, result.freezes) == ([], 2)


def test_senders_go_on_when_theirs_wakes_up(
    crash: Callable[..., Result], new_database: Callable[[], str], seed: int
) -> None:
    """The other gateway takes the work over, but cannot go on with it: the bytes are at the first one."""
    result = crash(seed, 0, freezes=2, database=new_database(), kinds=SENT)
    assert (result.violations, result.freezes) == ([], 2)
