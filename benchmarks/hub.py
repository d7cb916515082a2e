"""``./run bench hub``: what a hub's proxy costs an upload, and what memory the gateway takes as the hub's service."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from scigate.gateway_api.client import Gateway
from scigate.gateway_api.units import parse_size
from scigate.hub_config.testing import Hub
from scigate.storage_backends.backend import GiB, MiB

from .cases import BenchmarkFailed, write_random
from .measure import MemoryPeak, Stopwatch
from .outcome import add_outputs, described, kept, own_folder, publish
from .report import size as readable
from .uploads_report import ROOT

HEADING: Final = "## Through a hub's proxy"
WAYS: Final = ("direct", "proxy")
_SECTION: Final = """\
{heading}

Written by `./run bench hub` from [{name}.json](../../benchmarks/results/{name}.json). The Python client sends {size} to
the gateway that is a service of a JupyterHub, straight to its port and through Traefik, in turn, {rounds} rounds; the
clock stops when the gateway has promised the delivery. Aims: through the proxy at least 90 % as fast; less than 200 MB
of memory.

| way | seconds | MiB/s |
|---|---|---|
{rows}

Through the proxy it is **{share:.0f} %** as fast (median of the rounds). The gateway's largest resident size during all
of it: **{rss:.0f} MiB**.

Measured on {machine}, {started}; load average {load} at the beginning. Commit {commit}.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write what was measured; the exit code."""
    options = _parser().parse_args(arguments)
    return publish("hub", options, kept("hub", options, run, RuntimeError), section)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """In a folder of its own that is gone afterwards."""
    setup = {"size": int(str(options.size)), "rounds": options.rounds}
    with own_folder(options.folder) as folder:
        return described(options.name, setup) | _measure(folder, **setup)


def _measure(folder: Path, *, size: int, rounds: int) -> dict[str, Any]:
    large = folder / "large"
    write_random(large, size)
    hub = _hub(folder)
    try:
        hub.start()
        hub.ready()
        hub.api("POST", "users/alice").raise_for_status()
        token, walls = hub.token("alice"), {way: list[float]() for way in WAYS}
        urls = {"direct": f"http://127.0.0.1:{hub.gateway_port}/services/scigate", "proxy": hub.gateway}
        with MemoryPeak(_gateway_of(hub).pid) as peak:
            for number in range(rounds):
                for way in random.sample(WAYS, len(WAYS)):
                    walls[way].append(_send(urls[way], token, large, f"lab:/{way}-{number}"))
                    print(f"hub: {way} {walls[way][-1]:.2f} s", file=sys.stderr, flush=True)
    finally:
        hub.stop()
    share = median(direct / proxy for direct, proxy in zip(walls["direct"], walls["proxy"], strict=True))
    return {"walls": walls, "share": round(share, 4), "rss": peak.bytes}


def _hub(folder: Path) -> Hub:
    hub = Hub(folder / "hub")
    (folder / "lab").mkdir()
    storage = f'[storages.lab]\ntype = "posix"\nroot = {json.dumps(str(folder / "lab"))}\n'
    state = f"[gateway]\nstate_dir = {json.dumps(str(folder / 'state'))}\n"
    hub.settings.write_text(state + storage)
    hub.add_user("alice")
    return hub


def _gateway_of(hub: Hub) -> psutil.Process:
    for process in psutil.Process(hub.pid).children(recursive=True):
        if "serve" in process.cmdline():
            return process
    raise BenchmarkFailed("the hub has no process that serves the gateway")


def _send(url: str, token: str, path: Path, destination: str) -> float:
    """Seconds until the gateway has promised the delivery. It is waited for, and removed, beyond the clock."""
    with closing(Gateway(url.rstrip("/"), token)) as client:
        watch = Stopwatch()
        transfer = client.put(path, destination)
        wall = watch.read()
        transfer.wait(progress=False)
        client.delete(destination)
    time.sleep(0.5)
    return wall


def section(result: dict[str, Any]) -> str:
    """The section as Markdown."""
    setup, host = result["setup"], result["machine"]
    words = {"direct": "straight to the gateway", "proxy": "through Traefik"}
    rows = (
        f"| {words[way]} | {median(walls):.2f} ({min(walls):.2f}–{max(walls):.2f}) "
        f"| {setup['size'] / MiB / median(walls):.0f} |"
        for way, walls in result["walls"].items()
    )
    return _SECTION.format(
        heading=HEADING, name=result["name"], size=readable(setup["size"]), rounds=setup["rounds"],
        rows="\n".join(rows), share=100 * result["share"], rss=result["rss"] / MiB,
        machine=f"{host['cores']} cores ({host['processor']}), {host['memory'] / GiB:.0f} GiB of memory, "
        f"Linux {host['kernel']}",
        started=result["started"][:10], load=host["load"], commit=result["versions"]["commit"],
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench hub", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--size", type=parse_size, default=2 * GiB, help="of the file [default: 2 GiB]")
    add("--rounds", type=int, default=3, help="how often each way is measured [default: 3]")
    add("--folder", type=Path, default=ROOT / ".bench" / "hub", help="a folder to be made on the disk to measure")
    add_outputs(parser, "hub")
    return parser
