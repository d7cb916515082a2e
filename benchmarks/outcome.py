"""What each part of the benchmarks does around its measuring: a folder of its own, the JSON, a section of the page."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from scigate.gateway_api.client import GatewayError
from scigate.storage_backends.testing.servers import ServerFailed, ServerMissing

from . import machine
from .cases import BenchmarkFailed
from .uploads_report import PAGE, RESULTS, join

Result = dict[str, Any]
FAILURES: Final[tuple[type[Exception], ...]] = (BenchmarkFailed, GatewayError, ServerMissing, ServerFailed)


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """``path``, made for this run and gone afterwards. Raises ``BenchmarkFailed`` if it is there.

    What cannot be removed stays, else it would cost the result of a long run.
    """
    folder = path.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BenchmarkFailed(
            f"{folder} is there already: another benchmark is running, or one was killed. Remove it, or take --folder"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def described(name: str, setup: Result) -> Result:
    """What stands above the figures of every result: when, how and where they were measured, from now on."""
    return {
        "name": name, "started": datetime.now(UTC).isoformat(timespec="seconds"), "setup": setup,
        "machine": machine.machine() | {"load": machine.load()}, "versions": machine.versions(),
    }  # fmt: skip


def add_outputs(parser: argparse.ArgumentParser, part: str, *, page: bool = True) -> None:
    """The options that say where the result goes."""
    add = parser.add_argument
    add("--name", default=part, help=f"of the result [default: {part}]")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSON goes")
    if page:
        add("--page", type=Path, metavar="FILE", help="where the section goes [default: docs/, for its usual name]")


def kept(
    part: str,
    options: argparse.Namespace,
    run: Callable[[argparse.Namespace], Result],
    *more: type[Exception],
) -> Result | None:
    """What ``run`` measured, written as JSON; None when it could not, which is said. ``more``: failures of its own."""
    failures = (*FAILURES, *more)
    try:
        result = run(options)
    except failures as error:
        print(f"bench {part}: {error}", file=sys.stderr)
        return None
    write(result, options.results)
    return result


def write(result: Result, folder: Path) -> None:
    """The result as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['name']}.json").write_text(json.dumps(result, indent=1) + "\n")


def publish(part: str, options: argparse.Namespace, result: Result | None, section: Callable[[Result], str]) -> int:
    """Its section takes its place on the page and is shown; the exit code. Under another name it stays off the usual
    page."""
    if result is None:
        return 1
    text = section(result)
    if page := options.page or (PAGE if options.name == part else None):
        page.write_text(join(page.read_text() if page.exists() else "", text))
    print(text)
    return 0
