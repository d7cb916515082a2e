"""Showing how a transfer goes: a bar on a terminal or in a notebook, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TextIO, TypeAlias

from ..resources import Transfer

Watcher: TypeAlias = Callable[[Transfer], None]
BETWEEN_LINES: Final = 5.0  # seconds


@contextmanager
def watching(progress: bool | Watcher) -> Iterator[Watcher]:
    """What to call with every new state of a transfer: the caller's own, a display, or nothing."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _: None
    elif _has_bars():
        with bar() as show:
            yield show
    else:
        yield Lines(sys.stderr)


@contextmanager
def bar() -> Iterator[Watcher]:
    """A progress bar with bytes, files, rate and time left, as the gateway says them."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    text = "{task.fields[text]}"
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn(text, markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=False) as shown:
        task = shown.add_task("", total=None, text="")
        yield lambda seen: shown.update(
            task,
            description=str(seen.state),
            total=None if seen.listing else max(seen.bytes_total, 1),
            completed=seen.bytes_done if seen.bytes_total or not seen.state.is_final else 1,
            text=line(seen),
        )


class Lines:
    """One line when something changed, at most every few seconds: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[tuple[str, ...], str, float] = ((), "", 0.0)

    def __call__(self, seen: Transfer) -> None:
        before, said, at = self._last
        condition, text = (str(seen.state), seen.cause.code if seen.cause else ""), line(seen)
        if condition != before or (text != said and time.monotonic() - at > BETWEEN_LINES):
            self._last = (condition, text, time.monotonic())
            self._stream.write(f"{seen.state} {text}\n")
            self._stream.flush()


def line(seen: Transfer) -> str:
    """The numbers of a transfer in one line; what is not known is left out."""
    total = "?" if seen.listing else size(seen.bytes_total)
    parts = [f"{size(seen.bytes_done)} of {total}", f"{seen.files.done} of {seen.files.total} files"]
    if seen.files.failed:
        parts.append(f"{seen.files.failed} failed")
    if not seen.state.is_final:
        parts += [f"{size(seen.rate)}/s"] if seen.rate else []
        parts += [f"{timedelta(seconds=round(seen.eta_seconds))} left"] if seen.eta_seconds is not None else []
        parts += [printable(seen.cause.message)] if seen.cause else []
    return " · ".join(parts)


def size(count: float) -> str:
    """Bytes in binary units, three digits or so: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def printable(text: str) -> str:
    """The text with everything escaped that would steer a terminal or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def _has_bars() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
