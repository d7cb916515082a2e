"""The part of the benchmarks' page that is about what files, parts and verifications cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scigate.storage_backends.backend import GiB, MiB

from .report import size

HEADING: Final = "## What files, parts and verification cost"
_SECTION: Final = """\
{heading}

Written by `./run bench overheads` from [{name}.json](../../benchmarks/results/{name}.json); files are in memory, the
database is durable as ever.
{parts}
Measured on {machine}, {started}; load average {load} at the beginning. Commit {commit}.
"""
_LINEAR: Final = """
**From a thousand files on**, folder → folder, {small} bytes each, one transfer:

| files | wall s | CPU ms a file | peak memory MiB |
|---|---|---|---|
{rows}
"""
_VERIFICATION: Final = """
**Verification**: {size} copied with `verify=auto` (compared by content) and with `verify=size`, {rounds} rounds in
turn. Aim: below 15 % of the time.

| way | compared by content s | by size s | share of the time |
|---|---|---|---|
{rows}
"""
_PARTS: Final = """
**Parts**: {size} to S3 in {few} and in {many} parts; the difference is **{each:.2f} ms of CPU a part**, beyond the work
on its bytes, which is the same in both. Aim: below 2 ms.
"""


def section(result: Mapping[str, Any]) -> str:
    """The section as Markdown, of the parts that were measured."""
    machine = result["machine"]
    makers = {"linear": _linear, "verification": _verification, "parts": _parts}
    return _SECTION.format(
        heading=HEADING, name=result["name"],
        parts="".join(make(result) for name, make in makers.items() if name in result),
        machine=f"{machine['cores']} cores ({machine['processor']}), {machine['memory'] / GiB:.0f} GiB of memory, "
        f"Linux {machine['kernel']}",
        started=result["started"][:10], load=machine["load"], commit=result["versions"]["commit"],
    )  # fmt: skip


def _linear(result: Mapping[str, Any]) -> str:
    rows = (
        f"| {run['files']:,} | {run['wall']:.1f} | {1000 * run['cpu'] / run['files']:.2f} | {run['rss'] / MiB:.0f} |"
        for run in result["linear"]
    )
    return _LINEAR.format(small=result["setup"]["small"], rows="\n".join(rows))


def _verification(result: Mapping[str, Any]) -> str:
    rows = "\n".join(_verified(each) for each in result["verification"])
    setup = result["setup"]
    return _VERIFICATION.format(size=size(setup["size"]), rounds=setup["rounds"], rows=rows)


def _verified(each: Mapping[str, Any]) -> str:
    walls = {name: f"{min(seen):.2f}–{max(seen):.2f}" for name, seen in each["walls"].items()}
    return f"| {each['way']} | {walls['auto']} | {walls['size']} | {100 * each['share']:.0f} % |"


def _parts(result: Mapping[str, Any]) -> str:
    found = result["parts"]
    many, few = found["parts"]
    return _PARTS.format(size=size(result["setup"]["size"]), few=few, many=many, each=1000 * found["each"])
