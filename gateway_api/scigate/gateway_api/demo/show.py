"""Runs the demo and prints it: what happens, the table of results, and what to try next."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from scigate.storage_backends.backend import GiB
from scigate.storage_backends.testing.servers import ServerFailed, ServerMissing, seaweedfs, starting_seaweedfs

from ..client import Gateway, GatewayError, Transfer
from ..client.progress import size as readable
from ..resources import Proof
from . import jupyter
from .inputs import SOURCES, InputMissing, Inputs, copy_data, http_server, prepare
from .jobs import JOBS, Job, Result, Scene, perform
from .notebook import NAME
from .service import DemoFailed, Service, gateway, require_space, working_folder

LARGE: Final = GiB
# Of the large file, at most at once: made, staged, at the S3 server, back on the POSIX storage; and of the other, which
# is a quarter as large, three.
COPIES: Final = 5
SPARE: Final = GiB
INTERRUPTED: Final = 6  # as everywhere in the command line
MEANING: Final = {
    Proof.A: "A: read back from the destination and hashed by the gateway",
    Proof.B: "B: digest computed by the destination from what it stores",
    Proof.C: "C: digest confirmed by the destination on arrival",
    Proof.D: "D: size only",
}


def run(once: bool = False, *, folder: Path = Path(".demo"), size: int = LARGE) -> int:
    """Run the demo in ``folder`` and return the exit code: 0 if every byte is right.

    Without ``once`` it stays up until Ctrl-C. ``size`` is that of the large file, in bytes.
    """
    return _guarded(folder, lambda console, place: _demo(console, place, size, once=once))


def run_in_jupyter(*, hub: bool, folder: Path = Path(".demo")) -> int:
    """Bring up a JupyterHub with the gateway as its service, or JupyterLab with the gateway in it; until Ctrl-C."""
    return _guarded(folder, lambda console, place: _jupyter(console, place, hub=hub))


def _guarded(folder: Path, demo: Callable[[Console, Path], int]) -> int:
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with working_folder(folder.absolute()) as place:
            return demo(console, place)
    except (DemoFailed, InputMissing, ServerMissing, ServerFailed, GatewayError) as error:
        console.print(f"The demo cannot go on: {error}", style="red", markup=False)
        return 1
    except OSError as error:
        console.print(f"The demo cannot go on: {error.filename or folder}: {error.strerror}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped; everything the demo made is removed.")
        return INTERRUPTED


def _demo(console: Console, place: Path, size: int, *, once: bool) -> int:
    require_space(place, COPIES * size + SPARE)
    with ExitStack() as stack:
        scene, service = _set_up(stack, console, place, size)
        results = _perform_all(console, scene)
        console.print(_table(results))
        _explain(console, results)
        good = all(result.good for result in results)
        if not once:
            _invite(console, service, scene, results)
            _wait_for_the_end(console)
        return 0 if good else 1


def _jupyter(console: Console, place: Path, *, hub: bool) -> int:
    require_space(place, SPARE)
    with ExitStack() as stack:
        lab = place / "lab"
        lab.mkdir()
        observatory, _ = copy_data(place, lab)
        web = stack.enter_context(http_server(observatory))
        console.print(f"Started  an HTTP server with real data       {web}")
        with console.status("starting an S3 server and Jupyter"), ThreadPoolExecutor(1) as beside:
            s3, wait = stack.enter_context(starting_seaweedfs(_s3_folder(place)))
            waiting, start = beside.submit(wait), jupyter.hub if hub else jupyter.lab
            if not hub:  # the gateway would look for the S3 server before that is there, and show it as down at first
                waiting.result()
            home = stack.enter_context(start(place, jupyter.Storages(lab, s3, web)))
            waiting.result()
        console.print(f"Started  SeaweedFS, an S3 server             {s3.endpoint}")
        _invite_to_jupyter(console, home, hub=hub)
        _wait_for_the_end(console)
        return 0


def _s3_folder(place: Path) -> Path:
    folder = place / "seaweedfs"
    folder.mkdir()
    return folder


def _invite_to_jupyter(console: Console, home: jupyter.Home, *, hub: bool) -> None:
    console.print(f"Started  {'JupyterHub with the gateway' if hub else 'JupyterLab with the gateway in it'}\n")
    lines = [f"Open  {home.url}"]
    if hub:
        lines += [f"      as  {name:<6} password  {password}" for name, password in home.passwords.items()]
        lines += [f"alice and bob are scientists of the community {jupyter.COMMUNITY}; carol curates it."]
    lines += [f"The notebook {NAME} opens by itself: run its first cell.", "Everything stays up until Ctrl-C."]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _wait_for_the_end(console: Console) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    console.print("\nStopping…")  # a hub takes up to 11 s to end what it runs


def _set_up(stack: ExitStack, console: Console, place: Path, size: int) -> tuple[Scene, Service]:
    lab = place / "lab"
    lab.mkdir()
    inputs = _inputs(console, place, lab, size)
    web = stack.enter_context(http_server(inputs.observatory))
    console.print(f"Started  an HTTP server with these data   {web}")
    s3 = stack.enter_context(seaweedfs(_s3_folder(place)))
    console.print(f"Started  SeaweedFS, an S3 server          {s3.endpoint}")
    service = stack.enter_context(gateway(place, lab, s3, web))
    os.environ["XDG_STATE_HOME"] = str(place / "client")  # what our client keeps of its uploads goes with the rest
    console.print(f"Started  the gateway                      {service.url}\n")
    client = stack.enter_context(Gateway(service.url, service.token_file.read_text()))
    return Scene(client, inputs, lab, s3, web, service, lambda line: _aside(console, line)), service


def _inputs(console: Console, place: Path, lab: Path, size: int) -> Inputs:
    with _bars(console) as bars:
        task = bars.add_task("making large files", total=size + size // 4)
        inputs = prepare(place, lab, size, lambda count: bars.advance(task, count))
    for package, (_, what) in SOURCES.items():
        console.print(f"Data     {what} (from {package.replace('_', '-')})", soft_wrap=True)
    return inputs


def _aside(console: Console, line: str) -> None:
    """What happens to a job while it runs."""
    console.print(f"  ✂ {line}", style="yellow", markup=False)


def _bars(console: Console) -> Progress:
    columns = (BarColumn(bar_width=30), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeElapsedColumn())
    return Progress(
        TextColumn("{task.description:<28}"), *columns, console=console, transient=True, disable=not console.is_terminal
    )


def _perform_all(console: Console, scene: Scene) -> list[Result]:
    results = []
    with _bars(console) as bars:
        for job in JOBS:
            task = bars.add_task(job.name, total=None)
            results.append(_perform(bars, task, job, scene))
            bars.remove_task(task)
            console.print(_line(results[-1]), markup=False)
    return results


def _perform(bars: Progress, task: TaskID, job: Job, scene: Scene) -> Result:
    uploads = job.uploads(scene)
    bars.update(task, total=uploads or None)

    def watch(seen: Transfer) -> None:
        name = f"{job.name}: storing" if uploads else job.name
        total = None if seen.listing else seen.bytes_total
        bars.update(task, description=name, total=total, completed=seen.bytes_done)

    return perform(job, scene, lambda count: bars.advance(task, count), watch)


def _line(result: Result) -> str:
    mark = "✓" if result.good else "✗"
    return f"{mark} {result.job.name:<20} {readable(result.transfer.bytes_done):>9} in {result.seconds:.1f} s"


def _table(results: Sequence[Result]) -> Table:
    """Never wider than a terminal of 80 columns: rich would cut numbers off."""
    table = Table(
        title="\nWhat was moved", title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("what", no_wrap=True)
    for head in ("files", "size", "seconds", "rate", "proof", "checked"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    return table


def _cells(result: Result) -> Iterator[str]:
    seen = result.transfer
    yield result.job.name
    yield str(seen.files.done)
    yield readable(seen.bytes_done)
    yield f"{result.seconds:.1f}"
    yield f"{readable(result.rate)}/s"
    yield str(seen.proof or "-")
    yield f"{result.finding.equal} equal" if result.good else "[red]WRONG[/red]"


def _explain(console: Console, results: Sequence[Result]) -> None:
    for proof in sorted({result.transfer.proof for result in results if result.transfer.proof}):
        console.print(f"proof {MEANING[proof]}")
    console.print(
        "checked: SHA-256 of every file at both ends, by hashlib over boto3 and plain reads, not by SciGate",
        soft_wrap=True,
    )
    for wrong in (line for result in results for line in result.finding.wrong):
        console.print(f"✗ {wrong}", style="red", markup=False)


def _invite(console: Console, service: Service, scene: Scene, results: Sequence[Result]) -> None:
    scigate = shlex.quote(_command())
    lines = (
        "Everything stays up until Ctrl-C. Open in a browser, with any name and the token as password:",
        f"  {service.url}/docs    (the token: cat {shlex.quote(str(service.token_file))})",
        "Type in another terminal:",
        f"  export SCIGATE_URL={service.url} SCIGATE_TOKEN_FILE={shlex.quote(str(service.token_file))}",
        f"  {scigate} ls archive:/observatory/",
        f"  {scigate} cp {scene.web}/de421.bsp archive:/again/",
        f"  {scigate} transfers",
        f"  {scigate} show {results[-1].transfer.id}",
    )
    console.print("")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _command() -> str:
    """How ``scigate`` is called here: by name if it is on the PATH, else by the path of this environment."""
    beside = Path(sys.executable).with_name("scigate")
    if not beside.exists() or shutil.which("scigate") == str(beside):
        return "scigate"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Being terminated ends the demo like Ctrl-C: in order."""
    raise KeyboardInterrupt
