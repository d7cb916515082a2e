"""Files that go from or to this machine, with a bar for the bytes on their way."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from .exits import Exit, exit_for
from .output import Common, emit, report, say, say_of
from .places import Place

if TYPE_CHECKING:
    from datetime import datetime

    from ..client import Download, Entry, Gateway, GatewayError, TransferGroup, TransferHandle

Count = Callable[[int], None]
NOT_SENT = "what is not sent whole is not delivered. The same command goes on; 'scigate uploads' shows what is open."
NOT_FETCHED = "what was not finished is not in its place, and the same command goes on."


class Resumed:
    """Hears how many bytes an earlier run had sent, and says it: of one file at once, else when ``tell`` is called."""

    def __init__(self, total: int, *, at_once: bool) -> None:
        self._total, self.at_once, self._count = total, at_once, 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self._count += count
        if self.at_once:
            self.tell()

    def tell(self) -> None:
        if self._count:
            say(f"Resumed at {100 * self._count // max(self._total, 1)} %.", color="green")


class Broken:
    """Says why nothing moves, once for each while."""

    BETWEEN: Final = 30.0  # seconds

    def __init__(self) -> None:
        self._said = -self.BETWEEN

    def __call__(self, error: Exception) -> None:
        from ..client.errors import sentences

        if time.monotonic() - self._said > self.BETWEEN:
            self._said = time.monotonic()
            say_of(sentences([getattr(error, "message", str(error)), "Trying again."]), color="yellow")


def send(
    gateway: Gateway, places: list[Place], target: str, overwrite: str, label: str | None, **times: datetime | None
) -> tuple[TransferGroup, int]:
    """Send local files and folders, to be delivered at these ``times``; returns their transfers, and an exit code if
    something could not be sent."""
    from ..client.arguments import location
    from ..client.errors import first_of

    gateway.storage(location(target).storage)  # a storage that is not there ends every command in the same way
    total = sum(_size(place.text) for place in places)
    resumed = Resumed(total, at_once=len(places) == 1 and not os.path.isdir(places[0].text))
    put = []
    with counting(NOT_SENT, Sending=total, Storing=total) as (sent, stored):
        for place in places:
            done = gateway.put(
                place.text, target, overwrite=overwrite, label=label,
                sent=sent, stored=stored, resumed=resumed, broken=Broken(), **times,
            )  # fmt: skip
            put.append(_group(done))
    if not resumed.at_once:
        resumed.tell()
    for line in first_of([f"{path}: {reason}" for group in put for path, reason in group.refused.items()]):
        say_of(f"Not sent: {line}", color="red")
    return _merged(put), Exit.FAILED if any(group.refused for group in put) else Exit.OK


def _group(put: TransferHandle | TransferGroup) -> TransferGroup:
    from ..client import TransferGroup

    return put if isinstance(put, TransferGroup) else TransferGroup((put,))


def _merged(groups: list[TransferGroup]) -> TransferGroup:
    """All their transfers; what was not sent has been said, and is not an error of theirs."""
    from ..client import TransferGroup

    handles = tuple(handle for group in groups for handle in group)
    return TransferGroup(handles, dropped={id: count for group in groups for id, count in group.dropped.items()})


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
    from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Of the last seconds; while they are too few, since the beginning. Nothing before anything has moved."""

        def render(self, task: Task) -> Text:
            return Text(rate(task.finished_speed or task.speed, task.completed, task.elapsed))

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(24),
        DownloadColumn(True),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks = [shown.add_task(what, total=total) for what, total in totals.items()]
        yield [partial(shown.advance, task) for task in tasks]


def rate(lately: float | None, count: float, elapsed: float | None) -> str:
    """Bytes per second, as text: of late if that is known, else since the beginning."""
    from ..client.progress import size

    whole = count / elapsed if elapsed else 0
    speed = lately or whole
    return f"{size(speed)}/s" if speed > 0 else ""


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
        if got.resumed_from:
            say(f"Resumed at {100 * got.resumed_from // max(got.size, 1)} %.", color="green")
        proof = f"{got.digest} checked" if got.digest else "size checked; its storage keeps no digest we can compute"
        say(f"Fetched {printable(str(got.path))} ({got.size} bytes, {proof})")
    return Exit.OK


def _size(path: str) -> int:
    """Bytes below a path, for the bar only; what cannot be looked at counts nothing."""
    if not os.path.isdir(path):
        return os.path.getsize(path) if os.path.exists(path) else 0
    files = (os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file) and not os.path.islink(file))
