"""``./run bench``: compares, writes the result as JSON and the page of the documentation."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from scigate.gateway_api.units import parse_size

from . import (
    cases,
    hub,
    load,
    load_report,
    overheads,
    overheads_report,
    report,
    soak,
    uploads,
    uploads_report,
    widgets,
)
from .compare import REST, Comparison, Plan
from .others import AwsCli, S5cmd, Script, programs, version_of
from .outcome import FAILURES, described, own_folder, write
from .peers import RCLONE_FLAGS, Peer, Rclone, SciGate
from .summary import summarise
from .uploads_report import PAGE, RESULTS, ROOT
from .workspace import MEMORY, Media, Sources, needs

ALL_PEERS: Final = "rclone-default,s5cmd,aws-cli,boto3,s3fs"


_OTHERS: Final = {
    "uploads": uploads.main, "load": load.main, "soak": soak.main, "overheads": overheads.main, "widgets": widgets.main,
    "hub": hub.main,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and (other := _OTHERS.get(arguments[0])):
        return other(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        if options.page_from:
            _write_page(options.page or PAGE, json.loads(options.page_from.read_text()))
            return 0
        result = run(options)
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    _publish(result, options)
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All chosen cases, in a folder of their own that is gone afterwards."""
    with own_folder(options.folder) as folder:
        memory = MEMORY / f"scigate-{folder.name.strip('.')}-{random.getrandbits(32):08x}"
        try:
            return _compare_all(options, folder, memory)
        finally:
            shutil.rmtree(memory, ignore_errors=True)


def _compare_all(options: argparse.Namespace, folder: Path, memory: Path) -> dict[str, Any]:
    plan, media, chosen = _plan(options), Media(folder, folder, folder, options.tls), _peers(options)
    media = _placed(media, memory, options, plan)
    setup = {"rounds": plan.rounds, "seed": plan.seed, "cold": plan.cold, **media.describe()}
    result = described(_name(options), setup)
    result["versions"] |= {name: version_of(name) for name in ("s5cmd", "awscli", "boto3", "s3fs")}
    result["rclone"] = {"flags": list(RCLONE_FLAGS), "startup": round(Rclone().startup(folder), 3)}
    comparison = Comparison(plan, chosen, media, Sources(media.local / "source"), _tell)
    result["cases"] = [
        summarise(case, comparison.run(case), {peer.name: why for peer in chosen if (why := peer.cannot(case))})
        for case in plan.cases
    ]
    return result


def _peers(options: argparse.Namespace) -> list[Peer]:
    """SciGate and rclone tuned, which every ratio is of, and who else is asked for."""
    others: dict[str, Callable[[], Peer]] = {
        "rclone-default": partial(Rclone, (), "rclone-default"),
        "s5cmd": S5cmd,
        "aws-cli": AwsCli,
    }
    others |= {name: partial(Script, name) for name in ("boto3", "s3fs")}
    names = ("" if options.quick else ALL_PEERS) if options.peers is None else options.peers
    asked = [name for name in names.split(",") if name not in ("", "scigate", "rclone")]
    if unknown := [name for name in asked if name not in others]:
        raise cases.BenchmarkFailed(f"there is no peer {unknown[0]!r}; the peers are {', '.join(others)}")
    if set(asked) - {"rclone-default"}:
        programs()  # installed before any clock runs
    return [SciGate(), Rclone(), *(others[name]() for name in asked)]


def _plan(options: argparse.Namespace) -> Plan:
    large, small, mixed = cases.QUICK if options.quick else cases.FULL
    large = replace(large, size=options.large_size or large.size)
    small = replace(small, count=options.small_files or small.count)
    chosen = cases.select(cases.all_cases([large, small, mixed]), [name for name in options.cases.split(",") if name])
    rounds = options.rounds or (2 if options.quick else 3)
    seed = random.getrandbits(32) if options.seed is None else options.seed
    return Plan(chosen, rounds, seed, cold=not options.warm, rest=options.rest)


def _placed(media: Media, memory: Path, options: argparse.Namespace, plan: Plan) -> Media:
    """``auto`` is memory where it is large enough: the engines are compared, not the servers' disk."""
    wanted = {"local": options.local_on, "s3": options.s3_on}
    if wanted["s3"] == "auto":
        wanted["s3"] = "memory" if _has_room(replace(media, s3=memory), memory, plan, len(_peers(options))) else "disk"
    if "memory" in wanted.values():
        memory.mkdir(mode=0o700)
    at = {"memory": memory, "disk": media.disk}
    return replace(media, local=at[wanted["local"]], s3=at[wanted["s3"]])


def _has_room(media: Media, memory: Path, plan: Plan, peers: int) -> bool:
    if not MEMORY.is_dir():
        return False
    most = max(needs(case, media, plan.rounds * peers).get(memory, 0) for case in plan.cases)
    return shutil.disk_usage(MEMORY).free > 2 * most


def _is_whole(options: argparse.Namespace) -> bool:
    return not (options.cases or options.large_size or options.small_files or options.peers)


def _name(options: argparse.Namespace) -> str:
    """A part of the comparison never takes the place of a whole one."""
    usual = ("quick" if options.quick else "full") if _is_whole(options) else "part"
    return str(options.name or usual)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _publish(result: dict[str, Any], options: argparse.Namespace) -> None:
    """The page shows the full comparison; that of a part, or of a quick run, only where it is asked for."""
    write(result, options.results)
    if page := options.page or (PAGE if result["name"] == "full" else None):
        _write_page(page, result)
    if result["name"] == "again" and (full := _measured("full")):
        _write_page(PAGE, full)
    print(report.table(result["cases"]))
    print(
        "\n".join(
            f"{report.title(case)}: {1 / case['ratios']['wall']['median']:.2f} times as fast as rclone"
            for case in result["cases"]
        )
    )


def _write_page(page: Path, result: dict[str, Any]) -> None:
    """With the sections on uploads and load, if they have been measured."""
    text, found = (
        report.page(result),
        {name: _measured(name) for name in ("uploads", "load", "soak", "overheads", "hub", "widgets", "again")},
    )
    if some := found["again"]:
        text = uploads_report.join(text, report.again(some))
    if uploaded := found["uploads"]:
        text = uploads_report.join(text, uploads_report.section(uploaded))
    if loaded := found["load"]:
        text = uploads_report.join(text, load_report.section(loaded, found["soak"]))
    if cost := found["overheads"]:
        text = uploads_report.join(text, overheads_report.section(cost))
    if proxied := found["hub"]:
        text = uploads_report.join(text, hub.section(proxied))
    if drawn := found["widgets"]:
        text = uploads_report.join(text, widgets.section(drawn))
    page.write_text(text)


def _measured(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.exists() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller loads, 2 rounds, rclone tuned only: a quarter of an hour")
    add("--cases", default="", metavar="NAME,…", help="only these, such as large-local-s3 or small-s3-inside")
    add("--peers", metavar="NAME,…", help=f"beside SciGate and rclone tuned [default: {ALL_PEERS}, quick: nobody]")
    add("--rounds", type=int, metavar="N", help="how often each program runs each case [default: 3, quick: 2]")
    add("--seed", type=int, help="draws the order of the runs [default: a new one, which the result names]")
    add("--large-size", type=_size, metavar="SIZE", help="of the large file [default: 4 GiB]")
    add("--small-files", type=int, metavar="N", help="how many small files [default: 5000]")
    add("--warm", action="store_true", help="sources are in the page cache; else they are read from the medium")
    add("--rest", type=float, default=REST, metavar="SECONDS", help="before each run [default: 1]")
    add("--tls", action="store_true", help="speak HTTPS to the S3 servers")
    add("--local-on", choices=["disk", "memory"], default="disk", help="where local files are [default: disk]")
    add("--s3-on", choices=["auto", "disk", "memory"], default="auto", help="where the S3 servers keep their data")
    add(
        "--folder",
        type=Path,
        default=ROOT / ".bench" / "compare",
        help="a folder to be made on the disk that is measured",
    )
    add("--name", help="of the result [default: full or quick]")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSON goes")
    add("--page", type=Path, metavar="FILE", help="where the page goes [default: docs/, for a full run]")
    add("--page-from", type=Path, metavar="JSON", help="measure nothing: write the page of this result")
    return parser


def _size(text: str) -> int:
    return int(str(parse_size(text)))


if __name__ == "__main__":
    sys.exit(main())
