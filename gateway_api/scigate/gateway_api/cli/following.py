"""Waiting for transfers on behalf of a command; leaving early never stops them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .exits import Exit, exit_for
from .output import Common, emit, report, say

if TYPE_CHECKING:
    from ..client import TransferHandle


def follow(common: Common, handles: Sequence[TransferHandle], timeout: float | None = None) -> int:
    """Wait for all with progress, say how each ended, and return the exit code."""
    from ..client import GatewayError, TransferGroup

    group = handles if isinstance(handles, TransferGroup) else TransferGroup(tuple(handles))
    try:
        group.wait(timeout, progress=True)
    except KeyboardInterrupt:
        return _left(handles, common)
    except GatewayError as error:
        _ended(common, handles)
        report(error, exit_for(error), as_json=False)
        return exit_for(error)
    _ended(common, handles)
    return Exit.OK


def tell(common: Common, handles: Sequence[TransferHandle]) -> None:
    """What was submitted, for somebody who does not wait."""
    for handle in handles:
        emit(handle.transfer) if common.json else say(f"Submitted {handle.id}; look at it: scigate show {handle.id}")


def _ended(common: Common, handles: Sequence[TransferHandle]) -> None:
    if common.json:
        for handle in handles:
            emit(handle.transfer)
    elif len(handles) == 1:
        say(_sentence(handles[0]))
    else:
        done = sum(handle.state == "DONE" for handle in handles)
        say(f"{done} of {len(handles)} transfers are DONE.")


def _sentence(handle: TransferHandle) -> str:
    seen = handle.transfer
    skipped = f", {seen.files.skipped} of them were there already" if seen.files.skipped else ""
    proof = f", proof {seen.proof}" if seen.proof else ""
    if seen.state == "DONE" and not seen.files.total:
        return f"DONE: nothing to copy: the folder has no files ({handle.id})"
    return f"{seen.state}: {seen.files.done} of {seen.files.total} files{skipped}{proof} ({handle.id})"


def _left(handles: Sequence[TransferHandle], common: Common) -> int:
    going_on = [handle for handle in handles if not handle.state.is_final]
    say("\nStopped waiting; nothing was cancelled.", color="yellow")
    for handle in going_on[:5]:
        say(f"Transfer {handle.id} goes on. Wait again: scigate show --watch {handle.id}")
        say(f"                                          End it: scigate cancel {handle.id}")
    if len(going_on) > 5:
        say(f"So do {len(going_on) - 5} others: scigate transfers")
    if common.json:
        for handle in handles:
            emit(handle.transfer)
    return Exit.INTERRUPTED
