"""The part of the benchmarks' page that is about uploads."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, Final

from scigate.storage_backends.backend import GiB, MiB

from .report import size

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
PAGE: Final = ROOT / "docs" / "reference" / "benchmarks.md"
HEADING: Final = "## Uploads by one client"
_WORDS: Final = {
    "bare": "bare tornado handler",
    "alone": "SciGate, one PATCH, no destination yet",
    "one": "SciGate, one PATCH",
    "many": "SciGate, PATCHes of 64 MiB",
}
_SECTION: Final = """\
{heading}

Written by `./run bench uploads` from [{name}.json](../../benchmarks/results/{name}.json). Rounds: {rounds}, each
in an order drawn anew. The same client sends the same {size} over one connection on this machine (sendfile,
from the page cache); the clock stops when the server has answered, which each does after a sync of the file.

| server | wall s | speed, bare = 100 % | CPU s | peak memory MiB |
|---|---|---|---|---|
{first}

- **Bare** takes the body and writes it to a file, in pieces of 4 MiB by a thread, synced at the end; nothing else.
- **SciGate** authenticates, keeps to its quota, records, and takes a CRC-64 as the bytes come. With a destination,
  here a folder on the same disk, bytes flow on into it while they come in, but not while their sender is held up by
  us, as this one is: then they follow after the last byte. Memory is the gateway's, until the file is DONE.

After the last byte, to S3 (SeaweedFS on the same machine, its data in memory where that has room) from a client that
sends {rate} per second, which is less than the storage takes. One block is 16 MiB and takes {block:.2f} s to this
storage when nothing else goes on.

| size | answered after s | DONE after s | DONE, in blocks' time | peak memory MiB |
|---|---|---|---|---|
{second}

Measured on {machine}, {started}; load average {load} at the end. Commit {commit}.
"""


def section(result: dict[str, Any]) -> str:
    """The section as Markdown."""
    setup, machine = result["setup"], result["machine"]
    cores = f"{machine['cores']} cores ({machine['processor']})"
    return _SECTION.format(
        heading=HEADING,
        name=result["name"],
        rounds=setup["rounds"],
        size=size(setup["size"]),
        rate=size(setup["rate"]),
        first="\n".join(_first(name, result["first_leg"]["programs"][name]) for name in _WORDS),
        second="\n".join(_second(each, result) for each in setup["sizes"]),
        block=result["block_seconds"],
        machine=f"{cores}, {machine['memory'] / GiB:.0f} GiB of memory, Linux {machine['kernel']}",
        started=result["started"][:10],
        load=machine["load"],
        commit=result["versions"]["commit"],
    )


def join(page: str, section: str) -> str:
    """The page with this section in place of the one with the same heading, or at its end."""
    heading = section.partition("\n")[0]
    before, found, after = f"\n{page}".partition(f"\n{heading}\n")
    rest = after.partition("\n## ")
    following = [f"## {rest[2]}".rstrip("\n")] if found and rest[1] else []
    return "\n\n".join([*filter(None, [before.strip("\n")]), section.rstrip("\n"), *following]) + "\n"


def _first(name: str, program: dict[str, Any]) -> str:
    wall, speed = program["wall"], program["speed"]
    seconds = f"{wall['median']:.2f} ({wall['min']:.2f}–{wall['max']:.2f})"
    parts = f"{100 * speed['median']:.0f} % ({100 * speed['min']:.0f}–{100 * speed['max']:.0f})"
    memory = f"{program['rss']['median'] / MiB:.0f}"
    return f"| {_WORDS[name]} | {seconds} | {parts} | {program['cpu']['median']:.2f} | {memory} |"


def _second(each: int, result: dict[str, Any]) -> str:
    runs = [run for run in result["second_leg"] if run["size"] == each]
    middle = {name: median(run[name] for run in runs) for name in ("answered", "done", "rss")}
    blocks = middle["done"] / result["block_seconds"]
    memory = f"{middle['rss'] / MiB:.0f}"
    return f"| {size(each)} | {middle['answered']:.2f} | {middle['done']:.2f} | {blocks:.1f} | {memory} |"
