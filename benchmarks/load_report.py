"""The part of the benchmarks' page that is about requests, long queues and the soak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from scigate.storage_backends.backend import GiB, MiB

HEADING: Final = "## Requests, queues and a soak"
_SECTION: Final = """\
{heading}

Written by `./run bench load` from [{name}.json](../../benchmarks/results/{name}.json). One gateway and the generator
that asks it share {cores}; the generator's CPU seconds are told beside the gateway's. *Closed*: each connection asks
again as soon as it is answered. *Open*: requests are due at a fixed rate, whatever the gateway does, and a request's
time runs from when it was due. Times are milliseconds.
{parts}
Measured on {machine}, {started}; load average {load} at the beginning. Commit {commit}.
"""
_TABLE: Final = """
| {what} | connections | answered per s | p50 | p99 | longest | gateway CPU s | generator CPU s | gateway MiB |
|---|---|---|---|---|---|---|---|---|
"""
_GETS: Final = """
**Requests that look**, each with a token: of ten eight show a transfer, one lists the newest {listed}, one asks for the
status. Aim: 1,500 a second with p99 below 50 ms.
"""
_SUBMITS: Final = """
**Submits** of one file each, with an `Idempotency-Key`, answered after the commit is durable (SQLite,
`synchronous=FULL`, a commit shared by those who wait for it). Afterwards at least as many transfers are in the database
as were acknowledged. Aim: 500 a second with p99 below 100 ms.
"""
_QUEUED: Final = """
**{files:,} files in the queue**, submitted as requests of 10,000 in {fill:.0f} s. When nobody asks, the gateway then
takes {rest:.0f} ms of CPU per second; it has {rss:.0f} MiB. 100 requests a second, which show the newest transfer, its
files, its journal, the list and the status, are answered with p50 {p50} and p99 {p99}. From this queue
the engine moves {long[files_per_second]:.0f} files a second with {long[cpu_ms]:.2f} ms of CPU each,
from one of a few thousand {short[files_per_second]:.0f} with {short[cpu_ms]:.2f} ms.
"""
_ACTIVE: Final = """
**{files:,} files active at once** (`max_active` and `per_storage` raised to that, sources that send 2 KiB a second):
{rss:.0f} MiB, {threads} threads, {cpu:.2f} CPU seconds per second; the same 100 requests a second are answered
with p50 {p50} and p99 {p99}.
"""
_MILLION: Final = """
**A transfer of {files:,} files in one request** (`POST /api/v1/transfers/bulk`): answered, all lines durable, after
{answered:.1f} s; listed after {listed:.1f} s, with {cpu:.1f} s of CPU in all. The gateway had at most {rss:.0f} MiB;
the longest of the requests that looked at the transfer meanwhile took {longest:.0f} ms.
"""
_SOAK: Final = """
**Soak** (`./run bench soak`, [{name}.json](../../benchmarks/results/{name}.json), commit {commit}): {minutes:.0f}
minutes of copies, uploads, pulls from URLs, cancels, lists and followers of events, with a fault every {every:.0f} s:
{faults}.
{transfers:,} transfers were accepted; {compared:,} files were read by another program and compared; **{wrong} were
wrong**, missing, left over, not ended, or announced twice. After a kill the gateway answered again within {back:.1f} s.
In its last life, in the {seconds:.0f} s after it had warmed up, memory went from {first:.0f} to {last:.0f} MiB
({slope:+.1f} MiB/h by least squares) and open descriptors from {fds[first]:.0f} to {fds[last]:.0f}; they were at most
{fds[largest]} in all lives, and the write-ahead log {wal:.1f} MiB.
"""
_WORDS: Final = {
    "kill": "killed (`kill -9`)",
    "freeze": "frozen for 5 s (`SIGSTOP`)",
    "reset": "connections to S3 reset",
    "reset all": "reset again and again for 5 s",
    "full": "a full disk for 15 s",
}


def section(result: Mapping[str, Any], soak: Mapping[str, Any] | None) -> str:
    """The section as Markdown, of the parts that were measured."""
    machine = result["machine"]
    cores = f"{machine['cores']} cores ({machine['processor']})"
    makers = {"gets": _gets, "submits": _submits, "queued": _queued, "active": _active, "million": _million}
    parts = [make(result) for name, make in makers.items() if name in result]
    return _SECTION.format(
        heading=HEADING, name=result["name"], cores=f"{machine['cores']} cores",
        parts="".join([*parts, *([_soaked(soak)] if soak else [])]),
        machine=f"{cores}, {machine['memory'] / GiB:.0f} GiB of memory, Linux {machine['kernel']}",
        started=result["started"][:10], load=machine["load"], commit=result["versions"]["commit"],
    )  # fmt: skip


def _gets(result: Mapping[str, Any]) -> str:
    return _GETS.format(**result["setup"]) + _table("GET", result["gets"])


def _submits(result: Mapping[str, Any]) -> str:
    return _SUBMITS + _table("submit", result["submits"])


def _table(what: str, runs: list[dict[str, Any]]) -> str:
    return _TABLE.format(what=what) + "".join(map(_run, runs))


def _run(run: Mapping[str, Any]) -> str:
    kind = f"open, {run['wanted']}/s" if run["wanted"] else "closed"
    times = " | ".join(f"{run[name]:.1f}" for name in ("p50", "p99", "longest"))
    own = f"{run['cpu']:.1f} | {run['client_cpu']:.1f} | {run['rss'] / MiB:.0f}"
    return f"| {kind} | {run['connections']} | {run['rate']:,.0f} | {times} | {own} |\n"


def _queued(result: Mapping[str, Any]) -> str:
    found = result["queued"]
    return _QUEUED.format(
        files=found["files"], fill=found["fill_seconds"], rest=1000 * found["rest_cpu"], rss=found["rss"] / MiB,
        long=found["long"], short=found["short"], **_times(found["answers"]),
    )  # fmt: skip


def _active(result: Mapping[str, Any]) -> str:
    found = result["active"]
    busy = found["answers"]["cpu"] / found["answers"]["seconds"]
    return _ACTIVE.format(
        files=found["files"], rss=found["rss"] / MiB, threads=found["threads"], cpu=busy, **_times(found["answers"])
    )  # fmt: skip


def _million(result: Mapping[str, Any]) -> str:
    found = result["million"]
    own = {name: found[name] for name in ("files", "answered", "listed", "cpu")}
    return _MILLION.format(rss=found["rss"] / MiB, longest=found["longest_get"], **own)


def _times(run: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{run[name]:.0f} ms" for name in ("p50", "p99")}


def _soaked(soak: Mapping[str, Any]) -> str:
    kinds = Counter(fault["kind"] for fault in soak["faults"])
    told = ", ".join(f"{count} × {_WORDS[kind]}" for kind, count in kinds.items())
    accepted = sum(count for name, count in soak["counts"].items() if name.endswith(" submitted"))
    memory, setup = soak["memory"], soak["setup"]
    return _SOAK.format(
        name=soak["name"], commit=soak["versions"]["commit"], minutes=setup["minutes"], every=setup["every"],
        faults=told, transfers=accepted, compared=soak["counts"].get("files compared", 0),
        wrong=len(soak["wrong"]) or "none",
        back=max([fault["seconds"] for fault in soak["faults"] if fault["kind"] == "kill"], default=0.0),
        seconds=memory["seconds"], first=(memory["first"] or 0) / MiB, last=(memory["last"] or 0) / MiB,
        slope=memory["per_hour_mib"] or 0.0, fds={k: v or 0 for k, v in soak["descriptors"].items()},
        wal=soak["wal"] / MiB,
    )  # fmt: skip
