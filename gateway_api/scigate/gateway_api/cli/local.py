"""Files that go from or to this machine, with a bar for the bytes on their way."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from .exits import Exit, exit_for
from .output import Common, emit, report, say, say_of
from .places import Place

if TYPE_CHECKING:
    from ..client import Download, Entry, Gateway, GatewayError, TransferHandle

Count = Callable[[int], None]
NOT_SENT = "what was not sent whole was NOT sent, and begins anew. 'scigate transfers' shows what was sent."
NOT_FETCHED = "what was not finished is not in its place, and the same command goes on."


def send(
    gateway: Gateway, places: list[Place], target: str, overwrite: str, label: str | None
) -> tuple[list[TransferHandle], int]:
    """Send local files and folders; returns their transfers, and an exit code if something could not be sent."""
    from ..client import TransferGroup
    from ..client.arguments import location

    handles: list[TransferHandle] = []
    refused: dict[str, str] = {}
    gateway.storage(location(target).storage)  # whatever is wrong there is said before hashing, not after
    total = sum(_size(place.text) for place in places)
    with counting(NOT_SENT, Hashing=total, Sending=total) as (hashed, sent):
        for place in places:
            put = gateway.put(place.text, target, overwrite=overwrite, label=label, hashed=hashed, sent=sent)
            handles += put.handles if isinstance(put, TransferGroup) else [put]
            refused |= put.refused if isinstance(put, TransferGroup) else {}
    for path, reason in refused.items():
        say_of(f"Not sent: {path}: {reason}", color="red")
    return handles, Exit.FAILED if refused else Exit.OK


def fetch(common: Common, gateway: Gateway, places: list[Place], target: str, *, overwrite: bool) -> int:
    """Fetch files and folders; those that fail do not keep the others from coming."""
    codes = []
    total = None if any(place.is_folder for place in places) else sum(gateway.stat(p.text).size for p in places)
    with counting(NOT_FETCHED, Fetching=total) as (received,):
        for place in places:
            if place.is_folder:
                for got in gateway.get_each(place.text, target, overwrite=overwrite, received=received):
                    codes.append(_arrived(common, got))
            else:
                got = gateway.get(place.text, target, overwrite=overwrite, received=received)
                codes.append(_arrived(common, got))
    return max(codes, default=Exit.OK)


@contextmanager
def counting(interrupted: str, **totals: int | None) -> Iterator[list[Count]]:
    """A bar for each name on a terminal, nothing elsewhere. After an interrupt, which says ``interrupted``, the counts
    stop the threads that still move data."""
    stopped = threading.Event()

    def stoppable(advance: Count) -> Count:
        def count(length: int) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            advance(length)

        return count

    with _bars(totals) as bars:
        try:
            yield [stoppable(advance) for advance in bars]
        except KeyboardInterrupt:
            stopped.set()
            say(f"\nInterrupted; {interrupted}", color="yellow")
            raise


@contextmanager
def _bars(totals: dict[str, int | None]) -> Iterator[list[Count]]:
    if not sys.stderr.isatty():
        yield [lambda length: None] * len(totals)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(24),
        DownloadColumn(True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks = [shown.add_task(what, total=total) for what, total in totals.items()]
        yield [partial(shown.advance, task) for task in tasks]


def _arrived(common: Common, got: Download | tuple[Entry, GatewayError]) -> int:
    from ..client.progress import printable

    if isinstance(got, tuple):
        entry, error = got
        code = exit_for(error)
        say(f"Not fetched: {printable(entry.location)}", color="red")
        report(error, code, common.json)
        return code
    if common.json:
        emit({"path": str(got.path), "size": got.size, "digest": got.digest, "resumed_from": got.resumed_from})
    else:
        proof = f"{got.digest} checked" if got.digest else "size checked; its storage keeps no digest we can compute"
        say(f"Fetched {printable(str(got.path))} ({got.size} bytes, {proof})")
    return Exit.OK


def _size(path: str) -> int:
    """Bytes below a path, for the bar only; what cannot be looked at counts nothing."""
    if not os.path.isdir(path):
        return os.path.getsize(path) if os.path.exists(path) else 0
    files = (os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file) and not os.path.islink(file))
